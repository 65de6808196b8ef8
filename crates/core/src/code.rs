//! The stable codes of user-visible errors, one table for all crates.
//!
//! `docs/errors.md` explains each. A code never changes its meaning and is never used again.
//!
//! **Invariants.** Codes are unique (a test), and each stands in the page (a test of the page).

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)+) => {
        /// A stable error code, shown as `WAL-0101`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code there is, in order.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The number behind `WAL-`.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Code::$name => $number,)+ }
            }
        }
    };
}

codes! {
    /// Two stages, sources or sinks have the same name.
    DuplicateName = 101,
    /// A pipeline ends without `to_sink` or `end`.
    OpenPipeline = 102,
    /// An application has no pipeline.
    NoPipeline = 103,
    /// One state name stands for two types.
    StateType = 104,
    /// One state is used with keys of two types.
    StateKeyType = 105,
    /// A stage of a state feeds another stage of the same state.
    StatePath = 106,
    /// States feed each other in a circle.
    StateCircle = 107,
    /// A keyed and an unkeyed stream are merged.
    MergeKeys = 108,
    /// A name is empty, too long or has characters that names cannot have.
    Name = 109,
    /// An option on the command line or in the environment is not understood.
    Option = 201,
    /// `--in` or `--out` names a source or sink that the application does not have.
    UnknownConnector = 202,
    /// A connector address is not understood.
    Address = 203,
    /// An address names a kind of connector that does not exist, or that cannot stand in this place.
    Scheme = 204,
    /// The status cannot be shown at its address.
    StatusAddress = 205,
    /// A file to read does not exist.
    SourceMissing = 301,
    /// A source cannot be read.
    SourceUnreadable = 302,
    /// A CSV header lacks a column of the message type.
    Column = 303,
    /// A record cannot be decoded.
    Decode = 304,
    /// A line is longer than the limit.
    LineTooLong = 305,
    /// A frame is longer than the limit.
    FrameTooLong = 306,
    /// A connection or file ended in the middle of a frame.
    Truncated = 307,
    /// Text is not UTF-8.
    Utf8 = 308,
    /// A port is in use, or the address cannot be listened on.
    Listen = 309,
    /// More connections than the limit.
    TooManyConnections = 310,
    /// A sink cannot be opened.
    SinkOpen = 401,
    /// A sink lost its connection and could not get it back.
    SinkLost = 402,
    /// A sink cannot write.
    SinkWrite = 403,
    /// A message cannot be encoded.
    Encode = 404,
    /// A user function returned an error.
    UserError = 501,
    /// A user function panicked.
    UserPanic = 502,
    /// A user function does not return.
    UserStuck = 503,
    /// A key is longer than 64 KiB.
    KeyTooLong = 504,
    /// A message is sent to a source that does not exist or takes no messages.
    SendTarget = 505,
    /// A message is sent to a source of another message type.
    SendType = 506,
    /// A message is sent after the application stopped.
    SendClosed = 507,
    /// A state object cannot be encoded, or decoded again.
    StateCodec = 508,
    /// A worker failed for a reason that is a bug of Wallaroo.
    Bug = 601,
    /// The program is built so that a panic aborts the process.
    PanicAbort = 602,
    /// Threads or other resources cannot be had.
    Resources = 603,
    /// A run was stopped with a time limit, and had not ended by then.
    Undrained = 604,
    /// The process occupies more memory than it may.
    MemoryLimit = 605,
    /// The store cannot be read or written.
    StoreAccess = 701,
    /// An object of the store does not hold what was written.
    StoreDamaged = 702,
    /// An object of the store that a kept checkpoint needs is missing.
    StoreMissing = 703,
    /// Another process has taken the store over.
    StoreFenced = 704,
    /// Another process has the store open.
    StoreLocked = 705,
    /// The store belongs to another application.
    StoreApplication = 706,
    /// The store has another number of key groups.
    StoreKeyGroups = 707,
    /// The store was written by a later release.
    StoreTooNew = 708,
    /// What was asked for is not in the store.
    StoreNotFound = 709,
    /// Something cannot be made in the store.
    StoreRefused = 710,
    /// A state object of the store cannot be read by this program.
    StoreObject = 711,
    /// The application is not the one whose checkpoint is in the store.
    StorePlan = 712,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WAL-{:04}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ascending() {
        let numbers: Vec<_> = Code::ALL.iter().map(|code| code.number()).collect();
        assert!(
            numbers.windows(2).all(|pair| pair[0] < pair[1]),
            "{numbers:?}"
        );
    }

    #[test]
    fn every_code_is_explained() {
        let page = include_str!("../../../docs/errors.md");
        let missing: Vec<_> = Code::ALL
            .iter()
            .filter(|code| !page.contains(&code.to_string()))
            .collect();
        assert!(
            missing.is_empty(),
            "docs/errors.md does not explain {missing:?}"
        );
    }
}
