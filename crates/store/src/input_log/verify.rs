//! Reads input logs and compares their checksums, while somebody may append to them.
//!
//! **Invariants.** Nothing is changed. What a process trims meanwhile is not told, and neither is a torn end told as damage: the next
//! start cuts it off, as it was never acknowledged.

use std::path::Path;

use super::reader::{not_torn, unless_trimmed};
use super::{Disk, block, failed, files, objects};
use crate::error::StoreError;
use crate::storage::{ObjectInfo, Storage};

/// What was found of a file or an object of an input log.
#[derive(Debug)]
pub struct Found {
    /// Its name below the store.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// How many of them, at its end, are of a write that was not completed.
    pub torn: u64,
    /// What is wrong with it, or nothing.
    pub result: Result<(), StoreError>,
}

/// Verifies the logs in files below `input`, the directory of all logs of a store.
///
/// # Errors
/// When a directory cannot be listed.
pub fn verify_files(disk: &dyn Disk, input: &Path) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for source in names(disk, input)? {
        let of_source = input.join(&source);
        for partition in names(disk, &of_source)? {
            for (_, path) in files(disk, &of_source.join(&partition))? {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                let name = format!("{}{source}/{partition}/{file}", objects::FOLDER);
                found.extend(verify_file(disk, &path, name));
            }
        }
    }
    Ok(found)
}

fn names(disk: &dyn Disk, directory: &Path) -> Result<Vec<String>, StoreError> {
    let listed = unless_trimmed(disk.names(directory));
    let mut names = listed
        .map_err(|error| failed("list", directory, &error))?
        .unwrap_or_default();
    names.sort();
    Ok(names)
}

/// None if it is gone.
fn verify_file(disk: &dyn Disk, path: &Path, name: String) -> Option<Found> {
    let read = unless_trimmed(disk.read(path)).map_err(|error| failed("read", path, &error));
    let bytes = match read {
        Ok(bytes) => bytes?,
        Err(error) => {
            return Some(Found {
                name,
                bytes: 0,
                torn: 0,
                result: Err(error),
            });
        }
    };
    let mut at = 0;
    while at < bytes.len()
        && let Some(block) = block::read(&bytes[at..], at as u64)
    {
        at += block.length;
    }
    let result = not_torn(path, &bytes, at);
    Some(Found {
        name,
        bytes: bytes.len() as u64,
        torn: result.as_ref().map_or(0, |()| (bytes.len() - at) as u64),
        result,
    })
}

/// Verifies the logs in objects of a storage.
///
/// # Errors
/// When it cannot be listed.
pub fn verify_objects(storage: &dyn Storage) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for object in storage.list(objects::FOLDER)? {
        let Some(number) = objects::number_of(&object.name) else {
            continue;
        };
        let result = objects::verify(storage, number, object.bytes);
        let is_there = |object: &ObjectInfo| objects::number_of(&object.name) == Some(number);
        let is_trimmed = result.is_err() && !storage.list(objects::FOLDER)?.iter().any(is_there);
        if !is_trimmed {
            found.push(Found {
                name: object.name,
                bytes: object.bytes,
                torn: 0,
                result,
            });
        }
    }
    Ok(found)
}
