//! [`StateChanges`]: what a worker hands over of one state at the end of an epoch.
//!
//! **Invariants.** Every entry's bytes lie within the arena: entries are made here only, and never point beyond what was
//! written for them.

/// One changed key: its new value, or a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The name of the state.
    pub state: &'a str,
    /// The key group.
    pub group: u16,
    /// Canonical bytes of the key.
    pub key: &'a [u8],
    /// What the state's codec wrote; absent if the state object is gone.
    pub value: Option<&'a [u8]>,
}

/// Where the bytes of one change are, in the arena of its [`StateChanges`].
///
/// The value follows the key. 24 bytes, so that sorting a million of them stays within the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeEntry {
    start: usize,
    key_bytes: u32,
    value_bytes: u32,
    group: u16,
    removed: bool,
}

impl ChangeEntry {
    /// The key group.
    #[must_use]
    pub fn group(&self) -> u16 {
        self.group
    }
}

/// The changes of one state, as one worker found them: an arena of bytes, and where in it each key and value is.
///
/// In any order. When a key comes twice, the later entry counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    state: String,
    bytes: Vec<u8>,
    entries: Vec<ChangeEntry>,
}

impl StateChanges {
    /// No changes of the state of that name.
    #[must_use]
    pub fn new(state: impl Into<String>) -> Self {
        StateChanges {
            state: state.into(),
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Adds a state object. `write_value` appends its encoded form to the buffer, whatever is in it.
    ///
    /// # Errors
    /// What `write_value` returns; nothing has been added then.
    ///
    /// # Panics
    /// When key or value have 4 GiB or more, or when `write_value` takes bytes away.
    pub fn object<E>(
        &mut self,
        group: u16,
        key: &[u8],
        write_value: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let value_start = self.bytes.len();
        if let Err(error) = write_value(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let value_bytes = self
            .bytes
            .len()
            .checked_sub(value_start)
            .expect("a value is appended to what is there");
        self.entries.push(ChangeEntry {
            start,
            key_bytes: length(key.len()),
            value_bytes: length(value_bytes),
            group,
            removed: false,
        });
        Ok(())
    }

    /// Adds a key whose state object is gone.
    ///
    /// # Panics
    /// When the key has 4 GiB or more.
    pub fn removed(&mut self, group: u16, key: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.entries.push(ChangeEntry {
            start,
            key_bytes: length(key.len()),
            value_bytes: 0,
            group,
            removed: true,
        });
    }

    /// The name of the state.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Gives the state another name.
    pub fn rename(&mut self, state: impl Into<String>) {
        self.state = state.into();
    }

    /// The entries, in the order in which they were added.
    #[must_use]
    pub fn entries(&self) -> &[ChangeEntry] {
        &self.entries
    }

    /// What all entries say, in the order in which they were added.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.entries.iter().map(|entry| self.change(entry))
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the changes occupy.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<ChangeEntry>()
    }

    /// Takes all entries away and keeps the memory, for the next epoch.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// What one of the entries says.
    ///
    /// # Panics
    /// When the entry is of other changes, and points beyond the bytes of these.
    #[must_use]
    pub fn change(&self, entry: &ChangeEntry) -> Change<'_> {
        let key_end = entry.start + entry.key_bytes as usize;
        let value_end = key_end + entry.value_bytes as usize;
        Change {
            state: &self.state,
            group: entry.group,
            key: &self.bytes[entry.start..key_end],
            value: (!entry.removed).then(|| &self.bytes[key_end..value_end]),
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("keys and values are smaller than 4 GiB")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn changes_are_given_back_as_they_were_added() {
        let mut changes = StateChanges::new("stocks");
        changes
            .object(3, b"IBM", |bytes| {
                bytes.extend_from_slice(b"one");
                Ok::<(), Infallible>(())
            })
            .expect("cannot fail");
        changes.removed(4, b"XYZ");
        let read: Vec<Change<'_>> = changes
            .entries()
            .iter()
            .map(|entry| changes.change(entry))
            .collect();
        let change = |group, key, value| Change {
            state: "stocks",
            group,
            key,
            value,
        };
        assert_eq!(
            read,
            [
                change(3, b"IBM".as_slice(), Some(b"one".as_slice())),
                change(4, b"XYZ".as_slice(), None)
            ]
        );
    }

    #[test]
    fn a_value_that_cannot_be_written_leaves_nothing() {
        let mut changes = StateChanges::new("stocks");
        let result = changes.object(0, b"IBM", |bytes| {
            bytes.push(1);
            Err("no")
        });
        assert_eq!(result, Err("no"));
        assert_eq!(changes, StateChanges::new("stocks"));
    }
}
