//! [`Objects`]: a [`Storage`] on the crate `object_store`, for directories and S3.
//!
//! Its calls are futures. Those of a directory are ready when they are asked for the first time, as nothing but this thread
//! works on them; those of S3 wait for connections that a runtime of their own drives.
//!
//! **Invariants.** Creates are exclusive: a hard link in a directory, `If-None-Match: *` in S3. [`Created::Existed`] is said only of
//! an object that is there. In a directory, what has become
//! visible by a create that failed is made durable before it is shown to anyone ([`Directory`]). An upload that has failed
//! is never written to again.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, RenameOptions, RenameTargetMode,
};

use super::directory::{self, Directory};
use super::{Created, ErrorKind, ObjectInfo, Storage, StorageError, Upload, name};

/// 8 MiB: above the 5 MiB that S3 wants of a part, and 80 GB in its 10,000 parts.
const PART_BYTES: usize = 8 << 20;

/// Objects in an `object_store`.
pub(crate) struct Objects {
    pub(crate) store: Box<dyn ObjectStore>,
    /// What names begin with in the store.
    pub(crate) prefix: Path,
    pub(crate) place: String,
    pub(crate) executor: Executor,
    /// The directory, if it is one.
    pub(crate) directory: Option<Directory>,
}

/// What drives futures.
pub(crate) enum Executor {
    /// The thread that calls.
    Caller,
    /// The thread that calls, with a runtime beside it that drives connections, also between calls.
    #[cfg(feature = "s3")]
    Runtime(super::s3::Connections),
}

impl Executor {
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        match self {
            Executor::Caller => run_here(future),
            #[cfg(feature = "s3")]
            Executor::Runtime(connections) => {
                let _within = connections.enter();
                run_here(future)
            }
        }
    }
}

/// Wakes a thread that waits for a future.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn run_here<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            // the runtime of connections has a thread of its own; a directory waits only when the caller is within a runtime
            Poll::Pending => std::thread::park(),
        }
    }
}

impl Objects {
    fn path(&self, action: &'static str, name: &str) -> Result<Path, StorageError> {
        name::check(action, name, &self.place)?;
        Ok(self
            .prefix
            .parts()
            .chain(Path::from(name).parts())
            .collect())
    }

    fn error(&self, action: &'static str, name: &str, error: &object_store::Error) -> StorageError {
        if let Err(gone) = self.check(action, name) {
            return gone;
        }
        StorageError {
            action,
            name: name.to_owned(),
            place: self.place.clone(),
            cause: cause_of(error),
            kind: kind_of(error, self.directory.is_some()),
        }
    }

    /// Makes sure that nothing is shown that the loss of power could take away.
    fn settle(&self, action: &'static str, name: &str) -> Result<(), StorageError> {
        match &self.directory {
            Some(directory) => directory
                .settle()
                .map_err(|error| directory::error(action, name, &self.place, &error)),
            None => Ok(()),
        }
    }

    /// Makes sure that a directory is still the one that was opened.
    fn check(&self, action: &'static str, name: &str) -> Result<(), StorageError> {
        match &self.directory {
            Some(directory) => directory
                .check()
                .map_err(|error| directory::error(action, name, &self.place, &error)),
            None => Ok(()),
        }
    }

    /// Notes that something may have become visible and is not durable.
    fn unsettle(&self, path: &Path) {
        if let Some(directory) = &self.directory {
            directory.unsettle(path.as_ref());
        }
    }

    fn put(
        &self,
        action: &'static str,
        name: &str,
        payload: PutPayload,
        mode: PutMode,
    ) -> Result<Created, StorageError> {
        let path = self.path(action, name)?;
        self.check(action, name)?;
        let options = PutOptions::from(mode);
        match self
            .executor
            .run(self.store.put_opts(&path, payload, options))
        {
            // Again: what was written since may be in a new directory of the same name.
            Ok(_) => self.check(action, name).map(|()| Created::New),
            Err(object_store::Error::AlreadyExists { .. }) => {
                // by whom and how is unknown: it may be of an attempt whose sync failed, or of a process that has died
                self.unsettle(&path);
                self.settle(action, name)?;
                self.confirm(action, name)
            }
            Err(error) => {
                self.unsettle(&path);
                Err(self.error(action, name, &error))
            }
        }
    }

    /// S3 answers a conditional put also with a conflict when another request for the name is under way (409). That says
    /// nothing of an object, and comes here as if there were one.
    fn confirm(&self, action: &'static str, name: &str) -> Result<Created, StorageError> {
        if self.directory.is_some() || self.size(name)?.is_some() {
            return Ok(Created::Existed);
        }
        Err(StorageError {
            kind: ErrorKind::Unavailable,
            ..self.broken(action, name, "another request for it was under way")
        })
    }

    /// The whole object, or a part of it.
    fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.path("read", name)?;
        self.settle("read", name)?;
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        // the size of the object is known, and the range cut to it, before anything is allocated
        let result = self.executor.run(async {
            let found = self.store.get_opts(&path, options).await?;
            found.bytes().await
        });
        match result {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error @ object_store::Error::NotFound { .. }) if !has_no_bucket(&error) => Ok(None),
            Err(error) => Err(self.error("read", name, &error)),
        }
    }

    fn broken(&self, action: &'static str, name: &str, cause: &str) -> StorageError {
        StorageError {
            action,
            name: name.to_owned(),
            place: self.place.clone(),
            cause: cause.to_owned(),
            kind: ErrorKind::Broken,
        }
    }
}

impl Storage for Objects {
    fn place(&self) -> &str {
        &self.place
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StorageError> {
        self.put("create", name, bytes.to_vec().into(), PutMode::Create)
    }

    fn upload(&self, name: &str) -> Result<Box<dyn Upload + '_>, StorageError> {
        name::check("create", name, &self.place)?;
        self.check("create", name)?;
        Ok(Box::new(ObjectUpload {
            objects: self,
            name: name.to_owned(),
            buffer: Vec::new(),
            parts: None,
            failed: false,
        }))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.put("replace", name, bytes.to_vec().into(), PutMode::Overwrite)?;
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(name, None)
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StorageError> {
        let path = self.path("read", name)?;
        self.settle("read", name)?;
        match self.executor.run(self.store.head(&path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("read", name, &error)),
        }
    }

    fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self
            .get(name, Some(range.clone()))?
            .ok_or_else(|| self.broken("read", name, "there is no such object"))?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(self.broken("read", name, "it ends before the bytes asked for"));
        }
        Ok(bytes)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        self.settle("list", prefix)?;
        let mut found = Vec::new();
        let mut waiting: Vec<Path> = vec![
            self.prefix
                .parts()
                .chain(Path::from(prefix).parts())
                .collect(),
        ];
        while let Some(path) = waiting.pop() {
            let result = self
                .executor
                .run(self.store.list_with_delimiter(Some(&path)))
                .map_err(|error| self.error("list", prefix, &error))?;
            waiting.extend(result.common_prefixes);
            found.extend(result.objects);
        }
        let mut objects: Vec<ObjectInfo> = found
            .into_iter()
            .filter_map(|meta| {
                let parts = meta.location.prefix_match(&self.prefix)?;
                let name: Path = parts.collect();
                Some(ObjectInfo {
                    name: name.into(),
                    bytes: meta.size,
                })
            })
            .filter(|object| {
                object.name.starts_with(prefix)
                    && (self.directory.is_none() || !directory::is_own(&object.name))
            })
            .collect();
        objects.sort_unstable();
        Ok(objects)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        let path = self.path("delete", name)?;
        match self.executor.run(self.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("delete", name, &error)),
        }
    }
}

/// An object that is being written: in memory while it is small, in parts from then on.
struct ObjectUpload<'o> {
    objects: &'o Objects,
    name: String,
    buffer: Vec<u8>,
    parts: Option<Parts>,
    failed: bool,
}

struct Parts {
    upload: Box<dyn MultipartUpload>,
    /// Where they become one object: in a directory beside the others, as only a link into place is exclusive.
    path: Path,
}

impl ObjectUpload<'_> {
    /// Runs a step unless one has failed: what a failed write or sync has left is not known.
    fn step(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), object_store::Error>,
    ) -> Result<(), StorageError> {
        if self.failed {
            let cause = "an earlier write of it has failed";
            return Err(self.objects.broken("create", &self.name, cause));
        }
        step(self).map_err(|error| {
            self.failed = true;
            self.objects.error("create", &self.name, &error)
        })
    }

    fn send_part(&mut self) -> Result<(), object_store::Error> {
        let Objects {
            store, executor, ..
        } = self.objects;
        let parts = match &mut self.parts {
            Some(parts) => parts,
            empty => {
                let path: Path = match self.objects.directory {
                    Some(_) => Path::from(directory::upload_name(&self.name)),
                    None => self
                        .objects
                        .prefix
                        .parts()
                        .chain(Path::from(self.name.as_str()).parts())
                        .collect(),
                };
                let upload = executor.run(store.put_multipart(&path))?;
                empty.insert(Parts { upload, path })
            }
        };
        let part = std::mem::replace(&mut self.buffer, Vec::with_capacity(PART_BYTES));
        executor.run(parts.upload.put_part(part.into()))
    }
}

impl Upload for ObjectUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.step(|upload| {
            let mut rest = bytes;
            while !rest.is_empty() {
                let fits = rest.len().min(PART_BYTES - upload.buffer.len());
                upload.buffer.extend_from_slice(&rest[..fits]);
                rest = &rest[fits..];
                if upload.buffer.len() == PART_BYTES {
                    upload.send_part()?;
                }
            }
            Ok(())
        })
    }

    fn finish(mut self: Box<Self>) -> Result<(), StorageError> {
        let objects = self.objects;
        if self.parts.is_none() && !self.failed {
            let bytes = std::mem::take(&mut self.buffer);
            return match objects.put("create", &self.name, bytes.into(), PutMode::Create)? {
                Created::New => Ok(()),
                Created::Existed => {
                    Err(objects.broken("create", &self.name, "there is an object of that name"))
                }
            };
        }
        let path = objects.path("create", &self.name)?;
        // S3 completes parts without a condition; nobody else uses the name, so to look is enough to notice a mistake
        if objects.directory.is_none() && !self.failed && objects.size(&self.name)?.is_some() {
            return Err(objects.broken("create", &self.name, "there is an object of that name"));
        }
        self.step(|upload| {
            if !upload.buffer.is_empty() {
                upload.send_part()?;
            }
            let Some(mut parts) = upload.parts.take() else {
                return Ok(());
            };
            if let Err(error) = objects.executor.run(parts.upload.complete()) {
                objects.unsettle(&path);
                upload.parts = Some(parts);
                return Err(error);
            }
            if objects.directory.is_none() {
                return Ok(());
            }
            let exclusive = RenameOptions::new().with_target_mode(RenameTargetMode::Create);
            objects
                .executor
                .run(objects.store.rename_opts(&parts.path, &path, exclusive))
                .inspect_err(|_| objects.unsettle(&path))
        })
    }
}

impl Drop for ObjectUpload<'_> {
    fn drop(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            // what remains is garbage: removed when a directory is opened, by the bucket's lifecycle rules in S3
            let _ = self.objects.executor.run(parts.upload.abort());
        }
    }
}

/// The system's own error if there is one, else the innermost.
fn io_error(error: &object_store::Error) -> Option<&std::io::Error> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        source = error.source();
    }
    None
}

/// Whether what is missing is the bucket.
fn has_no_bucket(error: &object_store::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.to_string().contains("<Code>NoSuchBucket</Code>") {
            return true;
        }
        source = error.source();
    }
    false
}

fn cause_of(error: &object_store::Error) -> String {
    if has_no_bucket(error) {
        return "there is no such bucket; make it, or correct the address".to_owned();
    }
    io_error(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn kind_of(error: &object_store::Error, is_directory: bool) -> ErrorKind {
    match (io_error(error), error) {
        (_, object_store::Error::PermissionDenied { .. })
        | (_, object_store::Error::Unauthenticated { .. }) => ErrorKind::Denied,
        (Some(io), _) if is_directory => directory::kind_of(io),
        _ if has_no_bucket(error) => ErrorKind::Broken,
        (_, object_store::Error::Generic { .. }) if !is_directory => ErrorKind::Unavailable,
        _ => ErrorKind::Broken,
    }
}

#[cfg(test)]
mod tests;
