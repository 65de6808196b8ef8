//! Reads what `strace -f -y` has written.

/// The start or the end of a system call, or both in one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    pub(crate) thread: u64,
    pub(crate) name: String,
    /// The call as it was written, its start and its end together.
    pub(crate) text: String,
    /// Whether it starts here: nothing that this call does is done before.
    pub(crate) is_start: bool,
    /// Whether it is over here, and has not failed.
    pub(crate) is_end: bool,
}

impl Call {
    /// The paths in quotes, in their order.
    fn quoted(&self) -> Vec<&str> {
        self.text.split('"').skip(1).step_by(2).collect()
    }

    /// What the first file descriptor stands for.
    fn target(&self) -> Option<&str> {
        let (_, behind) = self.text.split_once('<')?;
        let (target, _) = behind.split_once('>')?;
        Some(target)
    }

    /// The name that a link or a rename makes.
    pub(crate) fn linked(&self) -> Option<&str> {
        let names = self.name.starts_with("link") || self.name.starts_with("rename");
        names.then(|| self.quoted().get(1).copied()).flatten()
    }

    /// What a link or a rename gives another name.
    pub(crate) fn linked_from(&self) -> Option<&str> {
        self.linked().and_then(|_| self.quoted().first().copied())
    }

    /// The directory that is made.
    pub(crate) fn made_directory(&self) -> Option<&str> {
        let names = self.name.starts_with("mkdir");
        names.then(|| self.quoted().first().copied()).flatten()
    }

    /// The file that is made, or may be.
    pub(crate) fn created(&self) -> Option<&str> {
        let names = self.name == "openat" && self.text.contains("O_CREAT");
        names.then(|| self.quoted().first().copied()).flatten()
    }

    /// The name that is taken away.
    pub(crate) fn unlinked(&self) -> Option<&str> {
        let names = self.name.starts_with("unlink");
        names.then(|| self.quoted().first().copied()).flatten()
    }

    /// The file that is written or cut.
    pub(crate) fn written(&self) -> Option<&str> {
        let names = ["write", "pwrite64", "writev", "ftruncate"].contains(&self.name.as_str());
        names.then(|| self.target()).flatten()
    }

    /// The file or directory that is synced.
    pub(crate) fn synced(&self) -> Option<&str> {
        let names = ["fsync", "fdatasync"].contains(&self.name.as_str());
        names.then(|| self.target()).flatten()
    }

    /// Whether eight bytes go into a socket: the number of an acknowledgement.
    pub(crate) fn is_sent_number(&self) -> bool {
        let names = ["write", "sendto"].contains(&self.name.as_str());
        let is_socket = self
            .target()
            .is_some_and(|target| target.starts_with("socket:") || target.starts_with("TCP"));
        names && is_socket && self.text.contains("\"\"..., 8")
    }
}

/// All calls, in the order in which they began and ended.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    const UNFINISHED: &str = "<unfinished ...>";
    let mut unfinished: Vec<Call> = Vec::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, text)) = line.split_once(' ') else {
            continue;
        };
        let thread = thread
            .parse()
            .expect("strace -f begins each line with the thread");
        let text = text.trim();
        if let Some(resumed) = text.strip_prefix("<... ") {
            let at = unfinished.iter().position(|call| call.thread == thread);
            let mut call = unfinished.swap_remove(at.expect("what goes on has begun"));
            let (_, rest) = resumed.split_once("resumed>").expect("strace says so");
            call.text.push_str(rest);
            call.is_start = false;
            call.is_end = !rest.contains("= -1 ");
            calls.push(call);
        } else if let Some((name, _)) = text.split_once('(') {
            let begun = text.strip_suffix(UNFINISHED);
            let call = Call {
                thread,
                name: name.to_owned(),
                text: begun.unwrap_or(text).to_owned(),
                is_start: true,
                is_end: begun.is_none() && !text.contains("= -1 "),
            };
            if begun.is_some() {
                unfinished.push(call.clone());
            }
            calls.push(call);
        }
    }
    calls
}
