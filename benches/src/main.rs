//! Wallaroo beside the programs people would write by hand.
//!
//! It is: pairs of runs, a subject (Wallaroo) and a comparator (hand-written), interleaved in one process and
//! reported as ratios. It is not: a source of absolute numbers; those hold for one machine at one moment.
//!
//! Each family of benchmarks is a module: its comparators in full, and a `wallaroo` module that holds the subject
//! and nothing else. `README.md` says how to run it and how to read the lines.
//!
//! **Invariants**
//! - Subject and comparator read the same input through the same reader and must produce the same [`Tally`], else
//!   the run panics: nobody measures work that was not done.
//! - Same allocator and same compiler flags on both sides. Plain maps hash with foldhash, the engine with xxh3 (see `docs/performance.md`).
//! - Every family starts with its comparator against itself, which is the noise floor of the lines that follow.
//!
//! [`Tally`]: workload::Tally
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads the real clock, paces input by sleeping, and starts threads of its own"
)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the printed lines are the product of this program"
)]

mod arguments;
mod checkpoint;
mod child;
mod engine;
mod harness;
mod idle;
mod json;
mod latency;
mod memory;
mod raw;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::harness::{Family, Report, Session};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(child) = arguments.child {
        child.run();
        return ExitCode::SUCCESS;
    }
    let report = match Report::create(arguments.json.as_deref()) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("cannot create the file of --json: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut session = Session::new(arguments.runs, report);
    session.describe_machine(arguments.mode);
    for family in families() {
        family.run(&mut session, arguments.mode, arguments.filter.as_deref());
    }
    ExitCode::SUCCESS
}

/// All families, in the order in which they run.
fn families() -> Vec<Family> {
    vec![
        engine::one_worker(),
        engine::two_workers(),
        engine::speed_up(),
        json::family(),
        latency::family(),
        memory::family(),
        idle::family(),
        checkpoint::throughput(),
        checkpoint::epochs(),
        checkpoint::recovery(),
    ]
}
