//! What is on the disk when something is said to be: seen in the system calls of a running application.
//!
//! `strace` writes down each call of all threads. A model of the disk goes through them: what was written and not yet synced could be
//! lost with the power, and so could a name whose directory was not synced since it was made. The loss of power itself is the
//! simulation's part.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use wallaroo::AckSender;
use wallaroo_crash::orders::{STOP, TAKEN};

mod calls;
mod disk;

use calls::{Call, calls};
use disk::Disk;

const ORDERS: u64 = 60;
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

/// Ends the traced program with the test.
struct Traced(Child);

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-y", "-o", "/dev/null", "true"])
        .status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        // Past the harness, which keeps what tests print that pass.
        let text = "NOT RUN: what_is_committed_acknowledged_or_published_is_on_the_disk, as strace is missing or may trace nothing here";
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    can
}

/// Runs the application under `strace`, with a sender that waits for each acknowledgement, and gives the calls.
fn trace(directory: &Path) -> Vec<Call> {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a port is free").to_string();
    let trace = directory.join("trace");
    let traced = "openat,mkdir,mkdirat,link,linkat,rename,renameat,renameat2,unlink,unlinkat,fsync,fdatasync,write,pwrite64,writev,sendto,ftruncate";
    let mut application = Traced(
        Command::new("strace")
            .args(["-f", "-y", "-s", "0", "-e"])
            .arg(format!("trace={traced}"))
            .arg("-o")
            .arg(&trace)
            .arg(env!("CARGO_BIN_EXE_crash-orders"))
            .arg(directory)
            .arg(&address)
            .args(["2", "5"])
            .spawn()
            .expect("strace was there a moment ago"),
    );
    let mut sender = AckSender::connect(&address, "0").expect("the application comes up");
    for number in 1..=ORDERS {
        sender
            .send(format!("0 {number}").as_bytes())
            .expect("it is taken");
        sender.wait().expect("it is acknowledged");
    }
    std::fs::write(directory.join(STOP), b"").expect("it can be written");
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        if let Some(status) = application.0.try_wait().expect("it is our child") {
            assert!(status.success(), "{status}");
            break;
        }
        std::thread::park_timeout(STEP);
        waited += STEP;
    }
    assert!(
        waited < PATIENCE,
        "the application does not end within {PATIENCE:?}"
    );
    calls(&std::fs::read_to_string(&trace).expect("strace has written it"))
}

#[test]
fn what_is_committed_acknowledged_or_published_is_on_the_disk() {
    if !can_trace() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().canonicalize().expect("it is there");
    let store = root.join("store");
    let (log, input, taken) = (store.join("log"), store.join("input"), root.join(TAKEN));
    let mut disk = Disk::default();
    let (mut commits, mut acknowledged, mut published, mut modes) = (0, 0, 0, 0);
    for call in trace(&root) {
        if let Some(made) = call.made_directory()
            && Path::new(made) == store
        {
            assert!(
                call.text.contains("0700"),
                "others may look into the store: {}",
                call.text
            );
            modes += 1;
        }
        if call.is_start {
            if call
                .linked()
                .is_some_and(|name| Path::new(name).starts_with(&log))
            {
                // A record of the log names segments, outputs, and where the published output ends.
                disk.assert_durable("a commit", &call, |path| {
                    (path.starts_with(&store) && !path.starts_with(&input)) || path == taken
                });
                commits += 1;
            }
            if call.is_sent_number() {
                disk.assert_durable("an acknowledgement", &call, |path| path.starts_with(&input));
                acknowledged += 1;
            }
            if call.written().is_some_and(|path| Path::new(path) == taken) {
                disk.assert_durable("a published epoch", &call, |path| path.starts_with(&log));
                published += 1;
            }
        }
        disk.call(&call, &root);
    }
    disk.assert_durable("the end", &Call::default(), |path| {
        path == taken || path.starts_with(&log)
    });
    assert!(
        commits >= 3 && acknowledged >= ORDERS && published >= 1 && modes == 1,
        "{commits} commits, {acknowledged} acknowledgements, {published} published, {modes} stores made"
    );
}
