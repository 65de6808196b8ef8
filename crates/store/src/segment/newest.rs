//! [`Newest`]: the entries of several blocks of one state and key group as one, the newest entry of each key.
//!
//! **Invariants.** Keys ascend and none comes twice. Of equal keys the one of the last cursor (the newest segment) counts.

use super::block::Cursor;

/// What went wrong with which of the cursors.
pub(crate) type AtCursor = (usize, String);

/// A merge of cursors.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// Oldest first.
    cursors: Vec<Cursor>,
    /// Cursors that have an entry, by key; of equal keys the newest comes first.
    order: Vec<usize>,
    begun: bool,
}

/// A key and its value; without a value it is a tombstone.
pub(crate) type Found<'a> = (&'a [u8], Option<&'a [u8]>);

impl Newest {
    /// A merge of cursors that have not begun, the oldest first.
    pub(crate) fn new(cursors: Vec<Cursor>) -> Self {
        Newest {
            order: Vec::with_capacity(cursors.len()),
            cursors,
            begun: false,
        }
    }

    /// The next key.
    pub(crate) fn next(&mut self) -> Result<Option<Found<'_>>, AtCursor> {
        if self.begun {
            self.step()?;
        } else {
            self.begun = true;
            for cursor in 0..self.cursors.len() {
                if self.advance(cursor)? {
                    self.insert(cursor, 0);
                }
            }
        }
        Ok(self.order.first().map(|&first| {
            let cursor = &self.cursors[first];
            (cursor.key(), cursor.value())
        }))
    }

    /// Leaves the present key, in all cursors.
    fn step(&mut self) -> Result<(), AtCursor> {
        while self.order.len() > 1
            && self.cursors[self.order[0]].key() == self.cursors[self.order[1]].key()
        {
            let older = self.order.remove(1);
            if self.advance(older)? {
                self.insert(older, 1);
            }
        }
        let Some(&first) = self.order.first() else {
            return Ok(());
        };
        if !self.advance(first)? {
            self.order.remove(0);
        } else if self
            .order
            .get(1)
            .is_some_and(|&second| self.comes_before(second, first))
        {
            self.order.remove(0);
            self.insert(first, 1);
        }
        Ok(())
    }

    fn advance(&mut self, cursor: usize) -> Result<bool, AtCursor> {
        self.cursors[cursor]
            .advance()
            .map_err(|what| (cursor, what))
    }

    /// Puts a cursor where it belongs, behind the first `behind`.
    fn insert(&mut self, cursor: usize, behind: usize) {
        let at = self.order[behind..].partition_point(|&other| self.comes_before(other, cursor));
        self.order.insert(behind + at, cursor);
    }

    fn comes_before(&self, one: usize, other: usize) -> bool {
        let by_key = self.cursors[one].key().cmp(self.cursors[other].key());
        by_key.then(other.cmp(&one)).is_lt()
    }
}
