//! The subject of `engine/…`.

use crate::engine::Side;
use crate::workload::Message;

/// Wallaroo with one worker per reader; each reader is one partition of an in-memory source.
///
/// The side calls [`RingReader::fill`] for input, `Work::perform` and `Stock::on_price` in the state computation,
/// and `Tally::add` in the sink. It includes build, start and stop of the application.
///
/// [`RingReader::fill`]: crate::workload::RingReader::fill
pub(super) fn subject<M: Message>() -> Option<Side<M>> {
    None // TODO(benches): the application, as soon as the Rust API runs one.
}
