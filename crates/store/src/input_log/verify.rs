//! Reads input logs and compares their checksums, while somebody may append to them.
//!
//! **Invariants.** Nothing is changed. What a process trims meanwhile is not told, and neither is a torn end told as damage: the next
//! start cuts it off, as it was never acknowledged.

use std::path::Path;

use super::chain::{self, Files};
use super::header::{self, End, Header};
use super::reader::{not_torn, unless_trimmed};
use super::{Disk, block, failed, file_name, objects};
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
            let folder = format!("{}{source}/{partition}/", objects::FOLDER);
            verify_partition(disk, &of_source.join(&partition), &folder, &mut found)?;
        }
    }
    Ok(found)
}

fn verify_partition(
    disk: &dyn Disk,
    directory: &Path,
    folder: &str,
    found: &mut Vec<Found>,
) -> Result<(), StoreError> {
    let Files { chain, fenced } = chain::files(disk, directory)?;
    let mut before: Option<End> = None;
    for file in &chain {
        let Some(verified) = verify_file(disk, &file.path, name(folder, &file.path)) else {
            // Those before it have been trimmed as well.
            before = None;
            continue;
        };
        if let Some(before) = before
            && let Err(error) = file.goes_on_after(before)
            && is_still_there(disk, directory, &before)
        {
            tell(found, folder, error);
        }
        let valid = usize::try_from(verified.bytes - verified.torn);
        before = match &verified.result {
            Ok(()) => valid.ok().and_then(|valid| file.end(valid)).or(before),
            // It has been told.
            Err(_) => None,
        };
        found.push(verified);
    }
    for file in fenced {
        found.extend(verify_file(disk, &file.path, name(folder, &file.path)));
    }
    Ok(())
}

fn name(folder: &str, path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{folder}{file}")
}

/// Files are trimmed from the oldest on: one behind it may have been, of which this one was read before.
fn is_still_there(disk: &dyn Disk, directory: &Path, end: &End) -> bool {
    let path = directory.join(file_name(end.first, end.attempt));
    disk.size(&path).is_ok()
}

/// Adds damage of a file that another one goes on after: to what was found of it, or as one that is not there.
fn tell(found: &mut Vec<Found>, folder: &str, error: StoreError) {
    let StoreError::DamagedInput { object, .. } = &error else {
        return;
    };
    let name = format!("{folder}{object}");
    match found.iter_mut().find(|found| found.name == name) {
        Some(found) => (found.torn, found.result) = (0, Err(error)),
        None => found.push(Found {
            name,
            bytes: 0,
            torn: 0,
            result: Err(error),
        }),
    }
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
    let mut at = Header::read(&bytes).map_or(0, |_| header::BYTES);
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
