//! What an input log needs of a disk, so that a simulation can lose what was not synced.
//!
//! **Invariants.** A name is durable when [`Disk::create`] and [`Disk::make_directory`] have come back, and gone when [`Disk::delete`] has; content when a sync has.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use crate::storage::directory;

/// Directories and files.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a directory, with those above it, unless it is there.
    ///
    /// # Errors
    /// When it cannot be made.
    fn make_directory(&self, directory: &Path) -> io::Result<()>;

    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// `NotFound` when it is not there; when it cannot be read.
    fn names(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Makes a file to append to.
    ///
    /// # Errors
    /// `AlreadyExists` when it is there; when it cannot be made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// What is in a file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The first `bytes` bytes of a file, or all that it has.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_start(&self, path: &Path, bytes: usize) -> io::Result<Vec<u8>>;

    /// How many bytes a file has.
    ///
    /// # Errors
    /// When it is not there.
    fn size(&self, path: &Path) -> io::Result<u64>;

    /// Cuts a file, and brings the rest to the disk.
    ///
    /// # Errors
    /// When it cannot be cut.
    fn cut(&self, path: &Path, length: u64) -> io::Result<()>;

    /// Brings a file to the disk that another process may have written.
    ///
    /// # Errors
    /// When it may not be there.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Deletes a file, for good.
    ///
    /// # Errors
    /// When it cannot be deleted.
    fn delete(&self, path: &Path) -> io::Result<()>;
}

/// A file that is written.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Writes at the end; what comes behind an error is not known.
    ///
    /// # Errors
    /// When not everything was written.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Brings what was written to the disk.
    ///
    /// # Errors
    /// When it may not be there.
    fn sync(&self) -> io::Result<()>;
}

/// The disk of the system.
#[derive(Clone, Copy, Debug)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        directory::make(path)?;
        sync_above(path)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            // Another name is not one of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        sync_above(path)?;
        Ok(Box::new(file))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_start(&self, path: &Path, bytes: usize) -> io::Result<Vec<u8>> {
        let mut start = Vec::with_capacity(bytes);
        File::open(path)?
            .take(bytes as u64)
            .read_to_end(&mut start)?;
        Ok(start)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn delete(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        sync_above(path)
    }
}

impl DiskFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes a name durable.
fn sync_above(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    directory::sync(above.unwrap_or_else(|| Path::new(".")))
}
