//! The subject of `json/…`.

use crate::json::Side;

/// Wallaroo with one worker: file source with JSON lines of `Quote`, keyed by `symbol`, `Stock::on_price`, and a
/// sink that calls `Tally::add`.
pub(super) const SUBJECT: Option<Side> = None; // TODO(benches): the application, as soon as the Rust API runs one.
