//! An application that is a part of a larger program: what `run` and `start` leave alone. The arguments and the environment of
//! this process are full of options, which are not for it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use wallaroo::{App, OnError, Options, State, channel, memory, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::waiting::until;

/// The variable that chooses this scenario: a directory for a store.
pub(crate) const DIRECTORY: &str = "SCENARIO_EMBEDDED_DIRECTORY";

#[derive(Default, Serialize, Deserialize)]
struct Sum(u64);

type Hook = dyn Fn(&PanicHookInfo<'_>) + Send + Sync;

fn address(hook: &Hook) -> usize {
    std::ptr::from_ref(hook).cast::<()>().addr()
}

/// Which signals the process catches, ignores and blocks.
fn signals() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").expect("Linux shows this file");
    let of_signals = status.lines().filter(|line| {
        ["SigCgt:", "SigIgn:", "SigBlk:"].contains(&line.split('\t').next().unwrap_or_default())
    });
    of_signals.map(str::to_owned).collect()
}

pub(crate) fn run() {
    let directory = std::env::var(DIRECTORY).expect("the caller has looked");
    let panics = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&panics);
    let hook: Box<Hook> = Box::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let hook_before = address(hook.as_ref());
    panic::set_hook(hook);
    // The C library catches a signal of its own from the first thread on.
    std::thread::scope(|scope| {
        scope.spawn(|| ());
    });
    let signals_before = signals();
    assert_eq!(signals_before.len(), 3, "{signals_before:?}");

    let (mut workers, mut addresses, mut same_signals) = (0, 0, 0);
    let mut sums = Vec::new();
    for options in [
        Options::default(),
        Options {
            store: Some(directory.as_str().into()),
            ..Options::default()
        },
    ] {
        let kept = memory::<u64>();
        let state = State::<Sum>::new("sums");
        let numbers = source("numbers", channel::<u64>(16).1).collect();
        let added = numbers.to_state(&state, |sum: &mut Sum, number: &u64| {
            assert!(*number > 0, "zero is not expected");
            sum.0 += number;
            Some(sum.0)
        });
        let running = App::new("embedded")
            .add(
                added
                    .named("add")
                    .on_error(OnError::Skip)
                    .to_sink("sums", kept.clone()),
            )
            .start(options)
            .expect("nothing of it needs the outside");
        for number in [1u64, 0, 2] {
            running.send("numbers", number).expect("it runs");
        }
        until("it runs", || running.status().workers > 0);
        workers += running.status().workers as u64;
        addresses += u64::from(running.status_address().is_some());
        same_signals += u64::from(signals() == signals_before);
        running.stop();
        running.wait().expect("it ends well");
        sums.extend(kept.take());
    }
    let hook = panic::take_hook();
    let facts = BTreeMap::from([
        ("workers".to_owned(), workers),
        ("status addresses".to_owned(), addresses),
        ("runs with the same signals".to_owned(), same_signals),
        (
            "panics seen by the hook".to_owned(),
            panics.load(Ordering::SeqCst),
        ),
        (
            "the hook is the same".to_owned(),
            u64::from(address(hook.as_ref()) == hook_before),
        ),
        (
            "a log is set up".to_owned(),
            u64::from(tracing::dispatcher::has_been_set()),
        ),
        (
            "the signals are the same".to_owned(),
            u64::from(signals() == signals_before),
        ),
        ("sum of sums".to_owned(), sums.iter().sum()),
        ("sums".to_owned(), sums.len() as u64),
    ]);
    let report = Report {
        facts,
        ..Report::default()
    };
    let report = serde_json::to_string(&report).expect("a report has a JSON form");
    writeln!(std::io::stdout(), "{report}").expect("the parent reads it");
}
