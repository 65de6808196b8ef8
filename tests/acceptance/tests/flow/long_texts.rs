use wallaroo_acceptance::child::report;
use wallaroo_acceptance::tally::Arrived;

use crate::MEMORY_BYTES;

/// The engine takes a message with something on the heap for 64 bytes more than its own size, so messages of 2 KiB
/// take 25 times the memory that the limits say.
// TODO(message sizes): memory stays below the bound, and the source is held back.
#[test]
fn messages_with_much_on_the_heap_are_counted_for_less_than_they_take() {
    let report = report(env!("CARGO_BIN_EXE_scenario"), &["long-texts", "1"]);
    assert_eq!(report.arrived["gate"], Arrived::all(200_000));
    assert_eq!(report.fact("read while blocked"), 200_000);
    assert!(report.memory_bytes() > MEMORY_BYTES);
}
