//! [`Entry`]: what the decisions know of a log record.
//!
//! **Invariants.** An entry is a value without bytes, so that a model check can hold many of them.

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Ends all earlier generations.
    Fence,
    /// Makes a checkpoint count.
    Commit,
}

/// A log record without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// Its number in the log, from 1.
    pub number: u64,
    /// The generation that it belongs to, from 1; a fence begins one.
    pub generation: u64,
    /// Random, one per record: by it a process knows its own record again.
    pub nonce: u128,
    /// What it is for.
    pub kind: Kind,
    /// The number of the commit it follows: the parent of a commit, the base of a fence. None at the beginning.
    pub follows: Option<u64>,
}

impl Entry {
    /// The number of the newest commit on the path, if this is the newest record.
    #[must_use]
    pub fn head(&self) -> Option<u64> {
        match self.kind {
            Kind::Fence => self.follows,
            Kind::Commit => Some(self.number),
        }
    }
}
