//! The input log in S3: what was acknowledged or handled is there after the death of the process, once.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wallaroo::{AckSender, App, Options, StoreOptions, channel, memory, source};
use wallaroo_crash::random::Random;
use wallaroo_s3::server::{BUCKET, Server};
use wallaroo_s3::{PATIENCE, child, fresh_address, wait_for};

/// Two ports of the application.
#[derive(Clone, Copy)]
struct Ports([SocketAddr; 2]);

impl Ports {
    fn free() -> Ports {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        Ports(listeners.map(|listener| listener.local_addr().expect("has an address")))
    }

    fn acknowledged(self) -> String {
        self.0[0].to_string()
    }

    fn plain(self) -> String {
        self.0[1].to_string()
    }
}

/// The application. Killed when it is dropped.
struct Process(Child);

impl Process {
    fn start(ports: Ports, directory: &Path, endpoint: SocketAddr, every: &str) -> Process {
        let store = format!("s3://{BUCKET}/input");
        let arguments = [
            "--store",
            &store,
            "--checkpoint-every",
            every,
            "--workers",
            "2",
        ];
        let child = child::call("s3-input", endpoint, &arguments)
            .env("S3_APP_DIRECTORY", directory)
            .env("S3_INPUT_ACKNOWLEDGED", ports.acknowledged())
            .env("S3_INPUT_PLAIN", ports.plain())
            .stdout(Stdio::null())
            .spawn();
        Process(child.expect("s3-input is built; run .ci/s3-test"))
    }

    fn kill(mut self) {
        self.0.kill().expect("it is ours");
        let status = self.0.wait().expect("it is ours");
        assert_eq!(status.code(), None, "it was at work until it was killed");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rows(directory: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Each record of the sender is there once, and was counted once, in order.
fn check(rows: Vec<String>, senders: &[&str], count: u64) {
    let mut of_senders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        let name = row.split(' ').next().unwrap_or_default().to_owned();
        of_senders.entry(name).or_default().push(row);
    }
    let expected = senders.iter().map(|name| {
        let rows = (1..=count).map(|number| format!("{name} {number} {number}"));
        ((*name).to_owned(), rows.collect())
    });
    assert_eq!(of_senders, expected.collect::<BTreeMap<_, Vec<_>>>());
}

#[test]
fn what_was_acknowledged_survives_any_kill_and_is_taken_once() {
    const COUNT: u64 = 4000;
    let server = Server::start();
    let directory = tempfile::tempdir().expect("a directory");
    let ports = Ports::free();
    let start = || Process::start(ports, directory.path(), server.address(), "300ms");
    let mut process = start();
    let senders: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|name| {
            let send = move || {
                let sender = AckSender::connect(ports.acknowledged(), name);
                let mut sender = sender.expect("it is reached").give_up_after(PATIENCE);
                for number in 1..=COUNT {
                    let sent = sender.send(format!("{name} {number}").as_bytes());
                    sent.expect("it is reached");
                    if number % 20 == 0 {
                        sender.flush().expect("it is reached");
                        thread::park_timeout(Duration::from_millis(20));
                    }
                }
                sender.wait().expect("all of it is acknowledged");
            };
            thread::Builder::new().spawn(send).expect("a thread")
        })
        .collect();
    let mut random = Random(7);
    let mut kills = 0;
    while senders.iter().any(|sender| !sender.is_finished()) {
        thread::park_timeout(Duration::from_millis(random.between(50, 1500)));
        process.kill();
        kills += 1;
        process = start();
    }
    for sender in senders {
        sender.join().expect("it has sent everything");
    }
    assert!(kills > 2, "{kills} kills");
    wait_for("all rows", || {
        let found = rows(directory.path(), "acknowledged.txt").len() as u64;
        (found >= 2 * COUNT).then_some(())
    });
    check(
        rows(directory.path(), "acknowledged.txt"),
        &["one", "two"],
        COUNT,
    );
    drop(process);
}

/// The first process makes no checkpoint after its records came: what it handled is in its log alone.
#[test]
fn what_was_handled_comes_back_from_the_log() {
    const COUNT: u64 = 3000;
    let server = Server::start();
    let directory = tempfile::tempdir().expect("a directory");
    let ports = Ports::free();
    let first = Process::start(ports, directory.path(), server.address(), "1h");
    let mut stream = wait_for("the port", || TcpStream::connect(ports.plain()).ok());
    for number in 1..=COUNT {
        writeln!(stream, "plain {number}").expect("it is connected");
    }
    wait_for("the rows that show what is handled", || {
        let found = rows(directory.path(), "plain-at-once.txt").len() as u64;
        (found >= COUNT).then_some(())
    });
    assert_eq!(
        rows(directory.path(), "plain.txt"),
        [""; 0],
        "nothing is committed"
    );
    first.kill();
    let second = Process::start(ports, directory.path(), server.address(), "50ms");
    for name in ["plain.txt", "plain-at-once.txt"] {
        wait_for("all rows", || {
            let found = rows(directory.path(), name).len() as u64;
            (found >= COUNT).then_some(())
        });
        check(rows(directory.path(), name), &["plain"], COUNT);
    }
    // the objects of what is committed go
    let objects = server.directory().join(BUCKET).join("input/input");
    let mut stream = wait_for("the port", || TcpStream::connect(ports.plain()).ok());
    let mut number = COUNT;
    wait_for("the log to be trimmed", || {
        number += 1;
        writeln!(stream, "plain {number}").expect("it is connected");
        let entries = std::fs::read_dir(&objects).expect("is there").flatten();
        let bytes: u64 = entries
            .filter_map(|entry| entry.metadata().ok())
            .map(|entry| entry.len())
            .sum();
        (bytes < 20_000).then_some(())
    });
    drop(second);
}

/// Messages wait for the log after they were read. The epoch that ended when they were read did not have them, and the sender waited for
/// the next one: an hour here.
#[test]
fn who_sends_durably_waits_for_the_log_and_one_commit() {
    let (_, numbers) = channel::<u64>(100);
    let seen = memory::<u64>();
    let store = StoreOptions::new(fresh_address()).every(Duration::from_secs(3600));
    let running = App::new("durable")
        .add(source("numbers", numbers).to_sink("seen", seen.clone()))
        .start(Options {
            store: Some(store),
            ..Options::default()
        })
        .expect("it starts; run .ci/s3-test");
    let (done, waiting) = mpsc::channel();
    thread::scope(|scope| {
        let running = &running;
        let send = move || {
            for number in 1..=3_u64 {
                running
                    .send_durable("numbers", number)
                    .expect("it is committed");
            }
            let _ = done.send(());
        };
        let thread = thread::Builder::new().spawn_scoped(scope, send);
        thread.expect("a thread");
        let in_time = waiting.recv_timeout(PATIENCE);
        running.stop();
        assert!(in_time.is_ok(), "it waits for another checkpoint");
    });
    running.wait().expect("it ends in good order");
    assert_eq!(seen.take(), [1, 2, 3]);
    assert!(running.checkpoints().expect("it has a store").commits >= 3);
}
