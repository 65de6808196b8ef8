//! Going on from a checkpoint: the time until all objects are there, and the memory it takes; and what a kill costs.
//!
//! A child process goes on from a store that this process has made and left. It has all objects when it has handled records of
//! all key groups, as none is handled before its group is loaded.

use std::fs;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use serde_json::json;
use tempfile::TempDir;

use super::account::Account;
use super::feed::{Feed, Windows};
use super::wallaroo::{Store, create_objects, start};
use super::{OBJECTS, directory};
use crate::child::Child;
use crate::harness::{Session, Spread, Stopwatch, costs, interleave};
use crate::workload::{PerWorker, Update};

/// Names the directory to a child.
const DIRECTORY: &str = "WALLAROO_BENCH_STORE";
/// About 20 of them are in each of the 1,024 key groups.
const SWEPT: u32 = 20_000;
/// After so many records of them all key groups have been asked for.
const SWEEP_RECORDS: u64 = 200_000;
/// Changes on top of the first checkpoint.
const EPOCHS: u64 = 12;
/// The hand-written program's file.
const PLAIN: &str = "plain.bin";

const WINDOWS: Windows = Windows {
    objects: OBJECTS,
    dirty: SWEPT,
    records: 20_000_000,
};

/// Outputs since the start, by the only worker.
static OUTPUTS: AtomicU64 = AtomicU64::new(0);

fn counted() -> PerWorker<()> {
    PerWorker::new(
        || (),
        |(), updates| {
            OUTPUTS.fetch_add(updates.len() as u64, Ordering::Release);
        },
    )
}

/// Measures and reports the time of a restore.
pub(super) fn run_time(session: &mut Session, name: &str, is_noise_floor: bool) {
    let directory = prepared();
    let subject = if is_noise_floor {
        Child::RestorePlain
    } else {
        Child::RestoreWallaroo
    };
    compare(
        session,
        name,
        ("ms of cpu", 1),
        &directory,
        subject,
        Child::RestorePlain,
    );
}

/// Measures and reports how much memory there is at the most while objects are loaded, beside the same objects that were
/// never stored.
pub(super) fn run_memory(session: &mut Session, name: &str) {
    let directory = prepared();
    compare(
        session,
        name,
        ("B/object", 1),
        &directory,
        Child::RestoreMemory,
        Child::RestoreMemoryPlain,
    );
}

fn compare(
    session: &mut Session,
    name: &str,
    (unit, decimals): (&str, usize),
    directory: &TempDir,
    subject: Child,
    comparator: Child,
) {
    let measure = |child: Child| child.measure_with(DIRECTORY, directory.path());
    let samples = interleave(session.runs(), Some(|| measure(subject)), || {
        measure(comparator)
    });
    let (line, value) = costs(name, unit, decimals, &samples);
    session.report().write(&line, &value);
}

/// A store with a checkpoint of all objects and some later ones, and the file of the hand-written program.
fn prepared() -> TempDir {
    let directory = directory();
    let feed = Feed::new(WINDOWS, u64::MAX, false);
    let store = Store {
        directory: directory.path(),
        every: Duration::from_secs(3600),
    };
    let running = start(&feed, Some(store), counted());
    create_objects(&running, &feed, OBJECTS);
    for epoch in 1..=EPOCHS {
        let until = u64::from(OBJECTS) + epoch * 10_000;
        feed.grant(until);
        while feed.read() < until {
            thread::sleep(Duration::from_micros(200));
        }
        running.checkpoint().expect("the store can be written");
    }
    running.stop();
    running.wait().expect("the application ends");
    let file = fs::File::create(directory.path().join(PLAIN)).expect("a file can be made");
    let mut file = BufWriter::new(file);
    for number in 0..u64::from(OBJECTS) {
        let record = WINDOWS.record(number);
        let mut account = Account::default();
        account.on_price(record.ts, record.price);
        let bytes = rmp_serde::to_vec_named(&account).expect("an account can be encoded");
        let length = u32::try_from(bytes.len()).expect("it is small");
        for part in [&record.key.to_le_bytes()[..], &length.to_le_bytes(), &bytes] {
            file.write_all(part).expect("the file can be written");
        }
    }
    file.flush().expect("the file can be written");
    directory
}

fn given() -> PathBuf {
    PathBuf::from(std::env::var_os(DIRECTORY).expect("the parent names the directory"))
}

/// Goes on from the store; returns when all objects are there. The application is left to the end of the process: one that is
/// stopped would commit, and the next child would find another store.
fn restore(directory: &Path) {
    let feed = Feed::new(WINDOWS, u64::MAX, false);
    let store = Store {
        directory,
        every: Duration::from_secs(3600),
    };
    let running = start(&feed, Some(store), counted());
    assert!(
        running
            .checkpoints()
            .is_some_and(|status| status.resumed_from.is_some()),
        "there is a checkpoint"
    );
    feed.grant(u64::from(OBJECTS) + EPOCHS * 10_000 + SWEEP_RECORDS);
    while OUTPUTS.load(Ordering::Acquire) < SWEEP_RECORDS {
        thread::sleep(Duration::from_micros(200));
    }
    std::mem::forget(running);
}

/// In a child: milliseconds of processor time of a restore.
pub(crate) fn measure_wallaroo() -> f64 {
    let directory = given();
    let stopwatch = Stopwatch::start();
    restore(&directory);
    let elapsed = stopwatch.elapsed();
    elapsed.cpu.as_secs_f64() * 1e3
}

/// In a child: milliseconds of processor time of a loop that fills a map from a file.
pub(crate) fn measure_plain() -> f64 {
    let directory = given();
    let stopwatch = Stopwatch::start();
    let file = fs::File::open(directory.join(PLAIN)).expect("the parent has made it");
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut accounts = HashMap::<u32, Account, foldhash::fast::RandomState>::default();
    let mut bytes = Vec::new();
    let mut head = [0; 8];
    while file.read_exact(&mut head).is_ok() {
        let [k0, k1, k2, k3, l0, l1, l2, l3] = head;
        bytes.resize(u32::from_le_bytes([l0, l1, l2, l3]) as usize, 0);
        file.read_exact(&mut bytes).expect("the file is whole");
        let account = rmp_serde::from_slice(&bytes).expect("it is an account");
        accounts.insert(u32::from_le_bytes([k0, k1, k2, k3]), account);
    }
    let elapsed = stopwatch.elapsed();
    assert_eq!(accounts.len(), OBJECTS as usize, "every object is there");
    elapsed.cpu.as_secs_f64() * 1e3
}

/// In a child: bytes per object at the most while all are loaded.
pub(crate) fn measure_memory() -> f64 {
    let directory = given();
    let before = memory_bytes("VmRSS");
    restore(&directory);
    let most = memory_bytes("VmHWM");
    per_object(most.saturating_sub(before))
}

/// In a child: bytes per object that came into being by messages, without a store.
pub(crate) fn measure_memory_plain() -> f64 {
    let before = memory_bytes("VmRSS");
    let feed = Feed::new(WINDOWS, u64::MAX, false);
    let running = start(&feed, None, counted());
    create_objects(&running, &feed, OBJECTS);
    while OUTPUTS.load(Ordering::Acquire) < u64::from(OBJECTS) {
        thread::sleep(Duration::from_micros(200));
    }
    let after = memory_bytes("VmRSS");
    drop(running);
    per_object(after.saturating_sub(before))
}

fn per_object(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "memory is below 2^52 bytes")]
    let bytes = bytes as f64;
    bytes / f64::from(OBJECTS)
}

fn memory_bytes(what: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("this benchmark runs on Linux");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("the system says how much memory is used") * 1024
}

/// Kills a process again and again, and reports the time until the next one has its first output and all its objects.
pub(super) fn run_kills(session: &mut Session, name: &str) {
    let directory = directory();
    let mut victim = Victim::start(directory.path());
    victim.wait_for("created");
    let (mut first, mut loaded) = (Vec::new(), Vec::new());
    for _ in 0..session.runs() {
        // It makes some checkpoints, and is in the middle of anything.
        thread::sleep(Duration::from_millis(2300));
        let killed = Instant::now();
        victim.kill();
        victim = Victim::start(directory.path());
        victim.wait_for("first");
        first.push(killed.elapsed().as_secs_f64() * 1e3);
        victim.wait_for("loaded");
        loaded.push(killed.elapsed().as_secs_f64() * 1e3);
    }
    victim.kill();
    for (what, times) in [("first-output", first), ("loaded", loaded)] {
        let spread = Spread::of(times.iter().copied()).expect("at least one run");
        let line = format!(
            "bench {name}/{what} {:.0} ms ({} runs, {:.0}–{:.0})",
            spread.median,
            times.len(),
            spread.low,
            spread.high
        );
        let value = json!({"name": format!("{name}/{what}"), "unit": "ms", "subject": times});
        session.report().write(&line, &value);
    }
}

/// A process that is going to be killed.
struct Victim {
    process: std::process::Child,
    /// It ends when nobody holds this any more.
    _life: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn start(directory: &Path) -> Self {
        let mut command: Command = Child::Victim.command();
        let mut process = command
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can start itself");
        let output = process.stdout.take().expect("it is piped");
        Victim {
            _life: process.stdin.take(),
            process,
            lines: BufReader::new(output).lines(),
        }
    }

    fn wait_for(&mut self, word: &str) {
        let mut lines = self.lines.by_ref().map_while(Result::ok);
        assert!(
            lines.any(|line| line == word),
            "the process ended before it was killed"
        );
    }

    fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it is our child");
    }
}

/// In a child: runs the application until the parent kills it or is gone itself.
pub(crate) fn be_victim() -> f64 {
    let directory = given();
    let feed = Feed::new(WINDOWS, u64::MAX, false);
    let store = Store {
        directory: &directory,
        every: Duration::from_secs(1),
    };
    let sink = PerWorker::new(|| (), tell);
    let running = start(&feed, Some(store), sink);
    let resumed = running.checkpoints().and_then(|status| status.resumed_from);
    if resumed.is_none() {
        create_objects(&running, &feed, OBJECTS);
        println!("created");
    }
    feed.grant(u64::MAX - 1);
    let mut nothing = Vec::new();
    std::io::stdin()
        .read_to_end(&mut nothing)
        .expect("the parent holds the other end");
    drop(running);
    0.0
}

/// Says when the first output is there, and when all key groups have had some.
fn tell((): &mut (), updates: &[Update]) {
    let before = OUTPUTS.fetch_add(updates.len() as u64, Ordering::Relaxed);
    let after = before + updates.len() as u64;
    if before == 0 {
        println!("first");
    }
    if before < SWEEP_RECORDS && after >= SWEEP_RECORDS {
        println!("loaded");
    }
}
