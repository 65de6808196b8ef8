//! Kills the application again and again, then checks what came out: `crash-test RUNS [SEED]`.
//!
//! A run is one kill -9. When the application gets to its end, its output is checked and the next one begins, in a new store.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread::JoinHandle;
use std::time::Duration;

use wallaroo::AckSender;
use wallaroo_crash::application::{AT_ONCE, COMMITTED};
use wallaroo_crash::check::check;
use wallaroo_crash::orders::{self, STOP};
use wallaroo_crash::random::Random;

/// Messages per partition of one application; fewer where the program is slow, in the normal tests.
const COUNT: u64 = if cfg!(debug_assertions) {
    60_000
} else {
    200_000
};
/// Who sends to the second application, and how many orders each.
const SENDERS: u64 = 3;
const ORDERS: u64 = if cfg!(debug_assertions) {
    40_000
} else {
    150_000
};
/// How often it is looked whether something has ended.
const STEP: Duration = Duration::from_millis(10);
/// The longest time an application may take to its end, once it is left alone.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let runs: u64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100);
    let seed: u64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    println!("crash-test: {runs} kills, seed {seed}");
    let mut random = Random(seed);
    let (mut killed, mut applications) = (0, 0);
    while killed < runs {
        // Two applications in turn.
        let run = if applications % 2 == 0 {
            application
        } else {
            orders
        };
        match run(&mut random, runs - killed) {
            Ok(kills) => killed += kills,
            Err(error) => {
                eprintln!("crash-test: seed {seed}, after {killed} kills: {error}");
                return ExitCode::FAILURE;
            }
        }
        applications += 1;
        println!("crash-test: {killed} kills, {applications} applications checked");
    }
    ExitCode::SUCCESS
}

/// Runs one application to its end, killing it up to `kills` times on the way. Returns how often it was killed.
fn application(random: &mut Random, kills: u64) -> Result<u64, String> {
    let directory =
        tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))?;
    let mut killed = 0;
    loop {
        let may_kill = killed < kills.min(25);
        let mut process = start(directory.path(), random)?;
        if may_kill {
            // A tenth dies while it starts, or right after.
            let patience = if random.number().is_multiple_of(10) {
                30
            } else {
                400
            };
            std::thread::park_timeout(Duration::from_millis(random.between(1, patience)));
            process
                .kill()
                .map_err(|error| format!("cannot kill: {error}"))?;
        }
        let status = wait(&mut process)?;
        if status.success() {
            break;
        }
        if status.code().is_some() {
            return Err(kept(
                directory,
                &format!("the application failed: {status}"),
            ));
        }
        killed += 1;
    }
    for file in [COMMITTED, AT_ONCE] {
        if let Err(error) = check(&directory.path().join(file), COUNT) {
            return Err(kept(directory, &error));
        }
    }
    Ok(killed)
}

/// As [`application`], with the second one, while senders send to it.
fn orders(random: &mut Random, kills: u64) -> Result<u64, String> {
    let directory =
        tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))?;
    // Free a moment ago; the system gives it to nobody else so soon.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free
        .map_err(|error| format!("no port is free: {error}"))?
        .to_string();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let address = address.clone();
            std::thread::Builder::new().spawn(move || send(&address, sender))
        })
        .collect();
    let are_done = || senders.iter().flatten().all(JoinHandle::is_finished);
    let mut killed = 0;
    loop {
        let mut process = start_orders(directory.path(), &address, random)?;
        let may_kill = killed < kills.min(25) && !are_done();
        if may_kill {
            let patience = random.between(1, 500);
            std::thread::park_timeout(Duration::from_millis(patience));
            process
                .kill()
                .map_err(|error| format!("cannot kill: {error}"))?;
        } else {
            let mut waited = Duration::ZERO;
            while !are_done() && waited < PATIENCE {
                std::thread::park_timeout(STEP);
                waited += STEP;
            }
            std::fs::write(directory.path().join(STOP), b"").map_err(|error| error.to_string())?;
        }
        let status = wait(&mut process)?;
        if status.success() {
            break;
        }
        if status.code().is_some() {
            let error = format!("the second application failed: {status}");
            return Err(kept(directory, &error));
        }
        killed += 1;
    }
    for sender in senders {
        let ended = sender.map_err(|error| error.to_string())?.join();
        ended.map_err(|_| "a sender panicked".to_owned())??;
    }
    match orders::check::check(directory.path(), SENDERS, ORDERS) {
        Ok(()) => Ok(killed),
        Err(error) => Err(kept(directory, &error)),
    }
}

/// Sends all orders of one sender, over whatever connections it gets, until all are durable.
fn send(address: &str, sender: u64) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("sender {sender}: {error}");
    let mut connection = AckSender::connect(address, sender.to_string()).map_err(failed)?;
    for number in 1..=ORDERS {
        let record = format!("{sender} {number}");
        connection.send(record.as_bytes()).map_err(failed)?;
        if number % 400 == 0 {
            connection.flush().map_err(failed)?;
            // Slow enough that a run sees many epochs.
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
    connection.wait().map_err(failed)
}

fn start_orders(directory: &Path, address: &str, random: &mut Random) -> Result<Child, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let numbers = [random.between(1, 3), random.between(5, 80)];
    Command::new(here.with_file_name("crash-orders"))
        .arg(directory)
        .arg(address)
        .args(numbers.map(|number| number.to_string()))
        .spawn()
        .map_err(|error| format!("cannot start crash-orders: {error}; build the whole package"))
}

fn start(directory: &Path, random: &mut Random) -> Result<Child, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let numbers = [
        COUNT,
        random.number(),
        random.between(1, 3),
        random.between(5, 80),
    ];
    Command::new(here.with_file_name("crash-app"))
        .arg(directory)
        .args(numbers.map(|number| number.to_string()))
        .spawn()
        .map_err(|error| format!("cannot start crash-app: {error}; build the whole package"))
}

fn wait(process: &mut Child) -> Result<ExitStatus, String> {
    let mut waited = Duration::ZERO;
    loop {
        match process.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if waited < PATIENCE => {
                std::thread::park_timeout(STEP);
                waited += STEP;
            }
            Ok(None) => {
                let _ = process.kill();
                let _ = process.wait();
                return Err("the application does not end".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Keeps the files for a look at them.
fn kept(directory: tempfile::TempDir, error: &str) -> String {
    let path: PathBuf = directory.keep();
    format!("{error} (files kept in {path:?})")
}
