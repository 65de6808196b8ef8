use wallaroo_acceptance::child::report;
use wallaroo_acceptance::tally::Arrived;

use crate::MEMORY_BYTES;

/// Messages of 2 KiB: their memory is known from what they would occupy when stored, not from their type. Once
/// each counted for 64 bytes more than its own size, and all 200,000 were read into memory.
#[test]
fn messages_with_much_on_the_heap_are_counted_for_what_they_take() {
    let report = report(env!("CARGO_BIN_EXE_scenario"), &["long-texts", "1"]);
    assert_eq!(report.arrived["gate"], Arrived::all(200_000));
    assert!(report.fact("read while blocked") < 200_000);
    assert!(
        report.memory_bytes() < MEMORY_BYTES,
        "{} bytes",
        report.memory_bytes()
    );
}
