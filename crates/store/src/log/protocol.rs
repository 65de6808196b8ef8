//! The decisions of the log, as state machines without I/O: what to ask of the storage next, and what an answer means.
//!
//! [`Opening`] finds the newest record and appends a fence behind it; the result is an [`Owner`]. [`Appending`] appends one
//! record of an owner. Whoever drives a machine puts [`Ask`]s to a storage and gives the [`Answer`]s back, as slowly as it likes.
//!
//! A number that was free may have been used and trimmed while a process slept. So a record counts for its writer only when a
//! listing *after* it was made shows none above it: of all numbers that were ever used, the highest is never trimmed. To look
//! for the record before one's own is not enough: another sleeper may just have made it again.
//!
//! **Invariants.** [`Appended::Won`] means: the record was the first under its number, and at some moment after it was made
//! there was none above it. Nobody who slept, however long, gets it for a trimmed number. An unclear answer never leads to
//! another record under the same number: it is settled with the same record, later.

use crate::log::entry::{Entry, Kind};
use crate::storage::Created;

/// How often [`Opening`] runs after a tail that moves before it gives up.
const MAX_TRIES: u8 = 100;

/// What a machine wants to know next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// The highest number in a listing of the log.
    Highest,
    /// The record of a number.
    Read(u64),
    /// To make a record that must not exist.
    Create(Entry),
}

/// What the storage said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To [`Ask::Highest`]; 0 when there is none.
    Highest(u64),
    /// To [`Ask::Read`].
    Found(Option<Entry>),
    /// To [`Ask::Create`].
    Created(Created),
    /// To any: it failed. What was to be made may be there, or come to be there later.
    Unclear,
}

/// A machine after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step<M, R> {
    /// It has another question.
    Go(M),
    /// It has its result.
    Done(R),
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Appended {
    /// It counts.
    Won,
    /// It does not count or, if it does, its writer is fenced all the same: by the record under its number, where that is known.
    Lost {
        /// The record that has the number.
        by: Option<Entry>,
    },
    /// It cannot be told yet. Append the same record again.
    Unclear,
    /// It was made, and a listing shows neither it nor any above it: the storage contradicts itself.
    Vanished,
}

/// Appends one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Appending {
    entry: Entry,
    state: AppendState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum AppendState {
    Create,
    ReadBack { taken: bool },
    Newest,
}

impl Appending {
    /// Begins, or begins again after [`Appended::Unclear`].
    #[must_use]
    pub fn new(entry: Entry) -> Self {
        Self {
            entry,
            state: AppendState::Create,
        }
    }

    /// What it wants to know.
    #[must_use]
    pub fn ask(&self) -> Ask {
        match self.state {
            AppendState::Create => Ask::Create(self.entry),
            AppendState::ReadBack { .. } => Ask::Read(self.entry.number),
            AppendState::Newest => Ask::Highest,
        }
    }

    /// Takes the answer to [`Self::ask`].
    ///
    /// # Panics
    /// When the answer is to another question.
    #[must_use]
    pub fn answer(self, answer: Answer) -> Step<Self, Appended> {
        use AppendState::{Create, Newest, ReadBack};
        let go = |state| Step::Go(Self { state, ..self });
        match (self.state, answer) {
            (Create, Answer::Created(Created::New)) => go(Newest),
            (Create, Answer::Created(Created::Existed)) => go(ReadBack { taken: true }),
            (Create, Answer::Unclear) => go(ReadBack { taken: false }),
            (ReadBack { .. }, Answer::Found(Some(entry))) if entry.nonce == self.entry.nonce => {
                go(Newest)
            }
            (ReadBack { .. }, Answer::Found(Some(entry))) => {
                Step::Done(Appended::Lost { by: Some(entry) })
            }
            // it was there, and was trimmed before it could be read
            (ReadBack { taken: true }, Answer::Found(None)) => {
                Step::Done(Appended::Lost { by: None })
            }
            // not there, or not yet: what was sent may still arrive
            (ReadBack { taken: false }, Answer::Found(None)) => Step::Done(Appended::Unclear),
            (Newest, Answer::Highest(number)) => Step::Done(match number.cmp(&self.entry.number) {
                std::cmp::Ordering::Less => Appended::Vanished,
                std::cmp::Ordering::Equal => Appended::Won,
                std::cmp::Ordering::Greater => Appended::Lost { by: None },
            }),
            (ReadBack { .. } | Newest, Answer::Unclear) => Step::Done(Appended::Unclear),
            (state, answer) => panic!("{answer:?} answers no question of {state:?}"),
        }
    }
}

/// A process that has the log, as far as it knows: it stays the owner until somebody else appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Its generation.
    pub generation: u64,
    /// The number of its last record.
    pub last: u64,
    /// The number of the newest commit on the path.
    pub head: Option<u64>,
}

impl Owner {
    /// The next commit.
    #[must_use]
    pub fn next_commit(&self, nonce: u128) -> Entry {
        Entry {
            number: self.last + 1,
            generation: self.generation,
            nonce,
            kind: Kind::Commit,
            follows: self.head,
        }
    }

    /// Notes that a commit of its own has won.
    ///
    /// # Panics
    /// When it is not the next commit of this owner.
    pub fn has_won(&mut self, entry: &Entry) {
        assert_eq!(*entry, self.next_commit(entry.nonce), "not the next commit");
        self.last = entry.number;
        self.head = entry.head();
    }
}

/// How the opening of a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opened {
    /// The fence stands.
    Owner(Owner),
    /// Another process was opening the log too, and was faster.
    Refused {
        /// Its fence.
        by: Entry,
    },
    /// A question could not be answered. What was sent may still arrive, and would fence whoever is owner then.
    Unclear,
    /// The storage contradicts itself: see [`Appended::Vanished`].
    Vanished,
}

/// Finds the newest record, and appends a fence behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opening {
    nonce: u128,
    base: Base,
    takes_over: bool,
    tries: u8,
    state: OpenState,
}

/// From which commit a fence goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// The newest on the path.
    Newest,
    /// One of this number: what was committed after it does not count any more.
    Number(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum OpenState {
    Find,
    ReadTail(u64),
    Append(Appending),
}

impl Opening {
    /// Begins. With `takes_over` it goes on when another process fences at the same time, and so fences that one.
    #[must_use]
    pub fn new(nonce: u128, base: Base, takes_over: bool) -> Self {
        Self {
            nonce,
            base,
            takes_over,
            tries: 0,
            state: OpenState::Find,
        }
    }

    /// What it wants to know. Before a [`Ask::Create`] is carried out, the driver can still stop.
    #[must_use]
    pub fn ask(&self) -> Ask {
        match &self.state {
            OpenState::Find => Ask::Highest,
            OpenState::ReadTail(number) => Ask::Read(*number),
            OpenState::Append(appending) => appending.ask(),
        }
    }

    /// Whether it asks for the newest record only to stand behind it, and goes on from another. A record that cannot be read may be
    /// answered with one that has its number, and a generation that is not below its own.
    #[must_use]
    pub fn passes_tail(&self) -> bool {
        matches!(
            (self.state, self.base),
            (OpenState::ReadTail(_), Base::Number(_))
        )
    }

    /// Takes the answer to [`Self::ask`].
    ///
    /// # Panics
    /// When the answer is to another question.
    #[must_use]
    pub fn answer(self, answer: Answer) -> Step<Self, Opened> {
        let go = |state| Step::Go(Self { state, ..self });
        match (self.state, answer) {
            (OpenState::Append(appending), answer) => match appending.answer(answer) {
                Step::Go(appending) => go(OpenState::Append(appending)),
                Step::Done(appended) => self.appended(&appending.entry, appended),
            },
            (_, Answer::Unclear) => Step::Done(Opened::Unclear),
            (OpenState::Find, Answer::Highest(0)) => go(OpenState::Append(self.fence(None))),
            (OpenState::Find, Answer::Highest(number)) => go(OpenState::ReadTail(number)),
            (OpenState::ReadTail(_), Answer::Found(Some(tail))) => {
                go(OpenState::Append(self.fence(Some(&tail))))
            }
            // trimmed since it was listed
            (OpenState::ReadTail(_), Answer::Found(None)) => self.again(),
            (state, answer) => panic!("{answer:?} answers no question of {state:?}"),
        }
    }

    fn fence(&self, tail: Option<&Entry>) -> Appending {
        Appending::new(Entry {
            number: tail.map_or(0, |tail| tail.number) + 1,
            generation: tail.map_or(0, |tail| tail.generation) + 1,
            nonce: self.nonce,
            kind: Kind::Fence,
            follows: match self.base {
                Base::Newest => tail.and_then(Entry::head),
                Base::Number(number) => Some(number),
            },
        })
    }

    fn appended(self, fence: &Entry, appended: Appended) -> Step<Self, Opened> {
        match appended {
            Appended::Won => Step::Done(Opened::Owner(Owner {
                generation: fence.generation,
                last: fence.number,
                head: fence.follows,
            })),
            Appended::Lost { by: Some(by) } if by.kind == Kind::Fence && !self.takes_over => {
                Step::Done(Opened::Refused { by })
            }
            Appended::Lost { .. } => self.again(),
            Appended::Unclear => Step::Done(Opened::Unclear),
            Appended::Vanished => Step::Done(Opened::Vanished),
        }
    }

    fn again(self) -> Step<Self, Opened> {
        if self.tries == MAX_TRIES {
            return Step::Done(Opened::Unclear);
        }
        Step::Go(Self {
            tries: self.tries + 1,
            state: OpenState::Find,
            ..self
        })
    }
}
