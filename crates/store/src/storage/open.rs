//! [`open`]: from an address to a [`Storage`].
//!
//! **Invariants.** A directory is opened by one process at a time, unless somebody insists.

use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;

use super::directory::{self, Directory, LOCK};
use super::object::{Executor, Objects};
use super::{ErrorKind, Storage, StorageError};
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

/// As [`open`], also when another process has the lock and cannot be stopped: there is no lock then, and the log fences the
/// other process.
///
/// # Errors
/// When the address is of no known form, or when the place cannot be used.
pub fn open_in_spite_of_lock(
    address: &str,
) -> Result<(Arc<dyn Storage>, Option<Lock>), StoreError> {
    open_with(address, true)
}

fn open_with(address: &str, insists: bool) -> Result<(Arc<dyn Storage>, Option<Lock>), StoreError> {
    if let Some(path) = address.strip_prefix("file://") {
        return open_directory(Path::new(path), address, insists);
    }
    match address.split_once("://") {
        None => open_directory(Path::new(address), address, insists),
        #[cfg(feature = "s3")]
        Some(("s3", bucket_and_prefix)) => {
            let objects = super::s3::open(address, bucket_and_prefix)?;
            Ok((Arc::new(objects), None))
        }
        Some((scheme, _)) => Err(refused(
            address,
            format!("stores at {scheme}:// addresses are not known to this program; use a path"),
        )
        .into()),
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
    if path.as_os_str().is_empty() {
        return Err(refused(address, "the path is empty".to_owned()).into());
    }
    let failed = |error: std::io::Error| directory::error("open", "", address, &error);
    let directory = Directory::open(path).map_err(failed)?;
    let lock = match Lock::acquire(&directory.root().join(LOCK), address) {
        Err(StoreError::Locked { .. }) if insists => None,
        taken => Some(taken?),
    };
    if lock.is_some() {
        directory.clean().map_err(failed)?;
    }
    let store = LocalFileSystem::new_with_prefix(directory.root())
        .map_err(|error| refused(address, error.to_string()))?
        .with_fsync(true);
    let objects = Objects {
        store: Box::new(store),
        prefix: object_store::path::Path::default(),
        place: address.to_owned(),
        executor: Executor::Caller,
        directory: Some(directory),
    };
    Ok((Arc::new(objects), lock))
}
