//! [`open`]: from an address to a [`Storage`].
//!
//! **Invariants.** A directory is opened by one process at a time, unless somebody insists, or only reads. Who only reads makes,
//! changes and syncs nothing, and no lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;

use super::directory::{self, Directory, INPUT, LOCK};
use super::object::{Executor, Objects};
use super::read_only::ReadOnly;
use super::{ErrorKind, Storage, StorageError};
use crate::application;
use crate::error::StoreError;
use crate::lock::Lock;

/// Opens the store at an address: a path or `file://PATH` for a directory, which is made if it is not there (for its owner
/// only, mode 0700), or `s3://BUCKET/PREFIX` with the crate's feature `s3`.
///
/// A directory comes with its lock, which must be kept as long as the store is used. S3 has none: there the log alone decides.
///
/// Credentials of S3 are taken from the usual environment variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
/// `AWS_REGION`, …), another endpoint from `AWS_ENDPOINT_URL`; plain HTTP is allowed to loopback addresses only.
///
/// # Errors
/// When another process has the lock, when the address is of no known form, or when the place cannot be used.
pub fn open(address: &str) -> Result<(Arc<dyn Storage>, Option<Lock>), StoreError> {
    open_with(address, false)
}

/// As [`open`], also when another process has the lock and cannot be stopped: the log fences that process, and who has taken its
/// place has a lock of its own.
///
/// # Errors
/// When the address is of no known form, or when the place cannot be used.
pub fn open_in_spite_of_lock(
    address: &str,
) -> Result<(Arc<dyn Storage>, Option<Lock>), StoreError> {
    open_with(address, true)
}

/// Opens the store at an address for reading only, also while another process has it open: without a lock, and every call that
/// would change something is refused. Nothing is made where there is no store.
///
/// What has just been written, and is not yet durable, can be seen.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such directory; when the address is of no known form, or the place cannot be used.
pub fn open_to_read(address: &str) -> Result<Arc<dyn Storage>, StoreError> {
    Ok(match place_of(address)? {
        Place::Directory(path) => Arc::new(ReadOnly(existing_directory(path, address)?)),
        #[cfg(feature = "s3")]
        Place::S3(bucket_and_prefix) => {
            Arc::new(ReadOnly(super::s3::open(address, bucket_and_prefix)?))
        }
    })
}

/// The directory of the input logs of a store at an address; none if they are objects of the store.
///
/// # Errors
/// When the address is of no known form.
pub fn input_directory(address: &str) -> Result<Option<PathBuf>, StoreError> {
    Ok(match place_of(address)? {
        Place::Directory(path) => Some(path.join(INPUT)),
        #[cfg(feature = "s3")]
        Place::S3(_) => None,
    })
}

/// What an address leads to.
enum Place<'a> {
    Directory(&'a Path),
    #[cfg(feature = "s3")]
    S3(&'a str),
}

fn place_of(address: &str) -> Result<Place<'_>, StoreError> {
    let path = match address.split_once("://") {
        None => address,
        Some(("file", path)) => path,
        #[cfg(feature = "s3")]
        Some(("s3", bucket_and_prefix)) => return Ok(Place::S3(bucket_and_prefix)),
        Some((scheme, _)) => {
            return Err(refused(address, unknown(scheme)).into());
        }
    };
    if path.is_empty() {
        return Err(refused(address, "the path is empty".to_owned()).into());
    }
    Ok(Place::Directory(Path::new(path)))
}

fn open_with(address: &str, insists: bool) -> Result<(Arc<dyn Storage>, Option<Lock>), StoreError> {
    match place_of(address)? {
        Place::Directory(path) => open_directory(path, address, insists),
        #[cfg(feature = "s3")]
        Place::S3(bucket_and_prefix) => {
            let objects = super::s3::open(address, bucket_and_prefix)?;
            Ok((Arc::new(objects), None))
        }
    }
}

/// Why an address with this scheme cannot be opened, and what to do.
fn unknown(scheme: &str) -> String {
    if scheme == "s3" {
        "this program is built without the feature \"s3\" of the crate wallaroo; build it with the feature, or use a directory".to_owned()
    } else {
        format!(
            "stores at {scheme}:// addresses are not known; use a directory or s3://BUCKET/PREFIX"
        )
    }
}

/// The error for an address that cannot be opened.
pub(crate) fn refused(address: &str, cause: String) -> StorageError {
    StorageError {
        action: "open",
        name: String::new(),
        place: address.to_owned(),
        cause,
        kind: ErrorKind::Broken,
    }
}

fn open_directory(
    path: &Path,
    address: &str,
    insists: bool,
) -> Result<(Arc<dyn Storage>, Option<Lock>), StoreError> {
    let failed = |error: std::io::Error| directory::error("open", "", address, &error);
    let directory = Directory::open(path).map_err(failed)?;
    let path = directory.root().join(LOCK);
    let lock = match Lock::acquire(&path, address) {
        Err(StoreError::Locked { .. }) if insists => Lock::acquire_next(&path, address)?,
        taken => {
            let lock = taken?;
            directory.clean().map_err(failed)?;
            lock
        }
    };
    Ok((Arc::new(objects_in(directory, address)?), Some(lock)))
}

fn existing_directory(path: &Path, address: &str) -> Result<Objects, StoreError> {
    match Directory::existing(path) {
        Ok(directory) => objects_in(directory, address),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(application::not_found(address))
        }
        Err(error) => Err(directory::error("open", "", address, &error).into()),
    }
}

fn objects_in(directory: Directory, address: &str) -> Result<Objects, StoreError> {
    let store = LocalFileSystem::new_with_prefix(directory.root())
        .map_err(|error| refused(address, error.to_string()))?
        .with_fsync(true);
    Ok(Objects {
        store: Box::new(store),
        prefix: object_store::path::Path::default(),
        place: address.to_owned(),
        executor: Executor::Caller,
        directory: Some(directory),
    })
}
