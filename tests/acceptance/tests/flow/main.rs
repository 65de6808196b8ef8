//! Flow control: whatever is slow or blocked, memory stays bounded, nothing is lost, and nothing hangs.
//!
//! Each scenario runs in a process of its own, so that its memory is its own.

mod blocked_sink;
mod diamond;
mod expansion;
mod hot_key;
mod idle_source;
mod large_message;
mod letters;
mod long_texts;
mod rejected;
mod rekeys;
mod two_sinks;

use wallaroo_acceptance::child::{Report, report};

/// What a process may take beyond what it takes when idle.
const MEMORY_BYTES: u64 = 256 << 20;

/// Runs a scenario and checks its memory.
fn scenario(name: &str, workers: usize) -> Report {
    let report = report(
        env!("CARGO_BIN_EXE_scenario"),
        &[name, &workers.to_string()],
    );
    assert!(
        report.memory_bytes() < MEMORY_BYTES,
        "{name} with {workers} workers took {} MiB",
        report.memory_bytes() >> 20
    );
    report
}

/// What arrived at a sink, whatever its order.
fn in_any_order(report: &Report, sink: &str) -> wallaroo_acceptance::tally::Arrived {
    wallaroo_acceptance::tally::Arrived {
        out_of_order: 0,
        ..report.arrived[sink]
    }
}
