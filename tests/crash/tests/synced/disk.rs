//! What the loss of power could take, as far as the calls tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::calls::Call;

/// Content and names that are not yet on the disk.
///
/// A sync brings there what was so when it began, and says so when it ends.
#[derive(Default)]
pub(crate) struct Disk {
    known: BTreeSet<PathBuf>,
    /// With the number of the last write.
    content: BTreeMap<PathBuf, u64>,
    names: BTreeMap<PathBuf, u64>,
    /// By thread: what is being synced, and the number of the last call before it.
    syncing: BTreeMap<u64, (PathBuf, u64)>,
    clock: u64,
}

impl Disk {
    /// Goes on by a call. Files outside of `root` are nothing to it.
    pub(crate) fn call(&mut self, call: &Call, root: &Path) {
        self.clock += 1;
        let within = |path: Option<&str>| {
            path.map(PathBuf::from)
                .filter(|path| path.starts_with(root))
        };
        let failed = !call.is_start && !call.is_end;
        if failed || (call.is_start && call.text.contains("= -1 ")) {
            return;
        }
        if let Some(path) = within(call.made_directory()).or_else(|| within(call.created()))
            && self.known.insert(path.clone())
        {
            self.names.insert(path, self.clock);
        }
        if let (Some(from), Some(to)) = (within(call.linked_from()), within(call.linked())) {
            if let Some(written) = self.content.get(&from).copied() {
                self.content.insert(to.clone(), written);
            }
            self.known.insert(to.clone());
            self.names.insert(to, self.clock);
        }
        if let Some(path) = within(call.unlinked()) {
            self.known.remove(&path);
            self.names.remove(&path);
            self.content.remove(&path);
        }
        if let Some(path) = within(call.written()) {
            self.content.insert(path, self.clock);
        }
        if let Some(path) = within(call.synced()) {
            if call.is_start {
                self.syncing.insert(call.thread, (path, self.clock));
            }
            if call.is_end
                && let Some((path, begun)) = self.syncing.remove(&call.thread)
            {
                self.content
                    .retain(|file, written| *file != path || *written > begun);
                self.names
                    .retain(|name, made| name.parent() != Some(&*path) || *made > begun);
            }
        }
    }

    /// Panics if something could be lost that `what` needs. Files that are not yet whole, the lock, and the trace are nothing to anyone.
    pub(crate) fn assert_durable(&self, what: &str, call: &Call, needs: impl Fn(&Path) -> bool) {
        let is_of_someone = |path: &Path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            !name.contains('#') && name != "lock"
        };
        let lost = |paths: &BTreeMap<PathBuf, u64>| -> Vec<PathBuf> {
            let paths = paths
                .keys()
                .filter(|path| is_of_someone(path) && needs(path));
            paths.cloned().collect()
        };
        let (content, names) = (lost(&self.content), lost(&self.names));
        assert!(
            content.is_empty() && names.is_empty(),
            "at {what}, {}: not on the disk are the content of {content:?} and the names {names:?}",
            call.text
        );
    }
}
