//! Records on their way into a log and back.
//!
//! **Invariants.** What was read from a log is what was written, with its number; what cannot be read as a message of this program
//! is an error, and never passed over.

use wallaroo_core::source::AcknowledgingReader;
use wallaroo_core::{ConnectorError, Intake, Reader};
use wallaroo_store::StoreError;
use wallaroo_store::input_log::{BlockBuilder, Entry, Kind};

use crate::message::Message;

/// Why a log cannot be read on.
pub(super) enum Replaying {
    Record(ConnectorError),
    Log(StoreError),
}

impl From<StoreError> for Replaying {
    fn from(error: StoreError) -> Self {
        Replaying::Log(error)
    }
}

impl Replaying {
    pub(super) fn into_error(self) -> ConnectorError {
        match self {
            Replaying::Record(error) => error,
            Replaying::Log(error) => super::failed(&error),
        }
    }
}

/// Puts what the reader gave into a block, with a note of the reader if it keeps such.
pub(super) fn write<T: Message>(
    block: &mut BlockBuilder,
    source: &str,
    intake: &mut Intake<T>,
    reader: Option<&mut Box<dyn Reader<T>>>,
) -> Result<(), ConnectorError> {
    for record in intake.records() {
        let pushed = match record.content {
            Ok(message) => block.push(record.number, Kind::Message, |bytes| {
                rmp_serde::encode::write_named(bytes, message)
            }),
            Err(rejected) => block.push(record.number, Kind::Rejected, |bytes| {
                let text = rejected.error.full_text();
                rmp_serde::encode::write_named(bytes, &(&rejected.bytes, text))
            }),
        };
        pushed.map_err(|error| {
            ConnectorError::new(format!(
                "cannot write record {} of the source {source:?} to the input log: {error}",
                record.number
            ))
            .with_help("give the messages of the source a type that can be stored")
        })?;
    }
    let reader = reader.and_then(|reader| reader.acknowledging());
    if let Some(note) = reader.and_then(|reader| reader.note()) {
        let pushed = block.push(intake.next_number(), Kind::Note, |bytes| {
            bytes.extend_from_slice(&note);
            Ok::<(), ConnectorError>(())
        });
        pushed?;
        intake.skip();
    }
    Ok(())
}

/// Gives a record of the log `log` again.
pub(super) fn give<T: Message>(
    entry: Entry<'_>,
    log: &str,
    intake: &mut Intake<T>,
    reader: &mut Option<&mut dyn AcknowledgingReader>,
) -> Result<(), Replaying> {
    let unreadable = |error: rmp_serde::decode::Error| {
        let number = entry.number;
        let error = ConnectorError::new(format!(
            "cannot read record {number} in the input log {log:?} as a message of this program: {error}"
        ));
        Replaying::Record(error.with_help(
            "give new fields of its type a default, or run the old program until its input is handled",
        ))
    };
    while intake.next_number() < entry.number {
        intake.skip();
    }
    match entry.kind {
        Kind::Message => {
            let message = rmp_serde::from_slice(entry.bytes).map_err(unreadable)?;
            intake.push_sized(message, entry.bytes.len());
        }
        Kind::Rejected => {
            let (bytes, text): (Vec<u8>, String) =
                rmp_serde::from_slice(entry.bytes).map_err(unreadable)?;
            intake.reject(&bytes, ConnectorError::new(text));
        }
        Kind::Note => {
            if let Some(reader) = reader {
                reader.recall(entry.bytes).map_err(Replaying::Record)?;
            }
            intake.skip();
        }
    }
    Ok(())
}
