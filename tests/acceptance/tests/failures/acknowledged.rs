//! Acknowledged senders: the server is killed, connections break, acknowledgements are lost. Nothing is lost, and nothing there twice.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use wallaroo::{AckSender, App, Code, Options, discard, source, tcp_listener};
use wallaroo_acceptance::waiting::until;

/// The application in a process of its own. Killed when it is dropped.
struct Server {
    child: Child,
    address: String,
    directory: PathBuf,
}

impl Server {
    fn start(directory: &Path) -> Server {
        // Free a moment ago; the system gives it to nobody else so soon.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = free.local_addr().expect("it is bound").to_string();
        drop(free);
        Server {
            child: Server::spawn(&address, directory),
            address,
            directory: directory.to_owned(),
        }
    }

    fn spawn(address: &str, directory: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_scenario"))
            .env("SCENARIO_ACKNOWLEDGED_ADDRESS", address)
            .env("SCENARIO_ACKNOWLEDGED_DIRECTORY", directory)
            .spawn()
            .expect("the program of this package is there")
    }

    /// As kill -9, and another process in its place.
    fn crash(&mut self) {
        self.kill();
        self.child = Server::spawn(&self.address, &self.directory);
    }

    fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    fn rows(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.join("rows.txt")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for so many rows of each sender, and looks that each is there once, in order, and counted once.
    fn check(&self, expected: &[(&str, u64)]) {
        let count: u64 = expected.iter().map(|(_, count)| count).sum();
        until("all rows are there", || self.rows().len() as u64 >= count);
        let mut of_senders: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in self.rows() {
            let name = row.split(' ').next().expect("a row has a name").to_owned();
            of_senders.entry(name).or_default().push(row);
        }
        let row = |name: &str, number| format!("{name} {number} {number}");
        let expected: BTreeMap<String, Vec<String>> = expected
            .iter()
            .map(|(name, count)| {
                (
                    (*name).to_owned(),
                    (1..=*count).map(|number| row(name, number)).collect(),
                )
            })
            .collect();
        assert_eq!(of_senders, expected);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sender that speaks the protocol byte by byte, as docs/protocols.md has it.
struct Raw {
    stream: TcpStream,
    status: u16,
    durable: u64,
}

impl Raw {
    fn connect(address: &str, name: &[u8]) -> Raw {
        let mut stream = None;
        until("the server listens", || {
            stream = TcpStream::connect(address).ok();
            stream.is_some()
        });
        let mut stream = stream.expect("waited until it is there");
        let mut hello = b"WALACKC\n\x01\x00".to_vec();
        hello.extend_from_slice(&(name.len() as u16).to_le_bytes());
        hello.extend_from_slice(name);
        stream.write_all(&hello).expect("it is connected");
        let mut answer = [0; 24];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer[..10], b"WALACKS\n\x01\x00");
        let status = u16::from_le_bytes([answer[10], answer[11]]);
        assert_eq!(answer[12..16], (16_u32 << 20).to_le_bytes());
        let durable = u64::from_le_bytes(answer[16..].try_into().expect("eight bytes"));
        Raw {
            stream,
            status,
            durable,
        }
    }

    fn send(&mut self, number: u64, record: &str) {
        let mut frame = (record.len() as u32).to_le_bytes().to_vec();
        frame.extend_from_slice(&number.to_le_bytes());
        frame.extend_from_slice(record.as_bytes());
        self.stream.write_all(&frame).expect("it is connected");
    }

    /// Reads acknowledgements up to `number`.
    fn wait_for(&mut self, number: u64) {
        while self.durable < number {
            let mut told = [0; 8];
            self.stream.read_exact(&mut told).expect("it is connected");
            let told = u64::from_le_bytes(told);
            assert!(told >= self.durable, "{told} after {}", self.durable);
            self.durable = told;
        }
    }
}

#[test]
fn what_is_acknowledged_survives_a_kill_and_what_is_sent_again_is_recognized() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut server = Server::start(directory.path());
    let mut sender = Raw::connect(&server.address, b"raw");
    assert_eq!((sender.status, sender.durable), (0, 0));
    (1..=5).for_each(|number| sender.send(number, &format!("raw {number}")));
    sender.wait_for(5);
    // Durable, and the sender does not know.
    (6..=8).for_each(|number| sender.send(number, &format!("raw {number}")));
    server.crash();
    let mut sender = Raw::connect(&server.address, b"raw");
    assert!((5..=8).contains(&sender.durable), "{}", sender.durable);
    // All of it again, whatever was told, and a sign of life.
    (1..=8).for_each(|number| sender.send(number, &format!("raw {number}")));
    sender.send(0, "");
    sender.wait_for(8);
    server.crash();
    let mut sender = Raw::connect(&server.address, b"raw");
    assert_eq!(sender.durable, 8);
    // A second connection of the same sender takes the place of the first; numbers may have gaps.
    let mut again = Raw::connect(&server.address, b"raw");
    assert_eq!(sender.stream.read(&mut [0; 8]).unwrap_or(0), 0);
    again.send(20, "raw 9");
    again.wait_for(20);
    again.send(20, "raw 9");
    again.send(21, "raw 10");
    again.wait_for(21);
    server.check(&[("raw", 10)]);
}

#[test]
fn what_is_no_hello_or_no_frame_ends_its_connection() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let server = Server::start(directory.path());
    let mut sender = Raw::connect(&server.address, b"good");
    sender.send(1, "good 1");
    assert_eq!(Raw::connect(&server.address, b"").status, 2);
    let mut stranger = TcpStream::connect(&server.address).expect("it listens");
    stranger
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("it is connected");
    assert_eq!(stranger.read(&mut [0; 1]).unwrap_or(0), 0);
    let mut wrong = Raw::connect(&server.address, b"wrong");
    wrong.send(1, "wrong 1");
    wrong.wait_for(1);
    wrong
        .stream
        .write_all(&u32::MAX.to_le_bytes())
        .expect("it is connected");
    wrong
        .stream
        .write_all(&2_u64.to_le_bytes())
        .expect("it is connected");
    assert_eq!(wrong.stream.read(&mut [0; 8]).unwrap_or(0), 0);
    sender.wait_for(1);
    server.check(&[("good", 1), ("wrong", 1)]);
}

#[test]
fn nothing_is_lost_or_twice_whatever_breaks() {
    const SENDERS: usize = 4;
    const EACH: u64 = 3_000;
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut server = Server::start(directory.path());
    let acknowledged = AtomicU64::new(0);
    let names: Vec<String> = (0..SENDERS)
        .map(|sender| format!("sender-{sender}"))
        .collect();
    let proxies: Vec<Proxy> = names
        .iter()
        .map(|_| Proxy::start(&server.address))
        .collect();
    thread::scope(|scope| {
        for (name, proxy) in names.iter().zip(&proxies) {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                let mut sender = AckSender::connect(&proxy.address, name).expect("it is reached");
                for number in 1..=EACH {
                    let sent = sender.send(format!("{name} {number}").as_bytes());
                    assert_eq!(sent.expect("it is reached"), number);
                    if number % 50 == 0 {
                        sender.wait().expect("it is reached");
                        assert_eq!(sender.durable(), number);
                        acknowledged.fetch_add(50, Ordering::SeqCst);
                    }
                }
            });
        }
        let all = SENDERS as u64 * EACH;
        for crash in 1..=6 {
            until("more is acknowledged", || {
                acknowledged.load(Ordering::SeqCst) >= crash * all / 8
            });
            server.crash();
        }
    });
    drop(proxies);
    let expected: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), EACH)).collect();
    server.check(&expected);
}

/// Stands between a sender and the server: ends each connection after some acknowledgements, and swallows those behind it that
/// the server has sent.
struct Proxy {
    address: String,
    is_done: Arc<AtomicBool>,
}

impl Proxy {
    fn start(server: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let is_done = Arc::new(AtomicBool::new(false));
        let (server, done) = (server.to_owned(), Arc::clone(&is_done));
        let proxy = thread::Builder::new().spawn(move || {
            for (number, sender) in (0_usize..).zip(listener.incoming()) {
                let Ok(sender) = sender else { continue };
                if done.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(&server) {
                    // The hello, and 1 to 17 acknowledgements.
                    forward(sender, server, 24 + 8 * (1 + number * 7 % 17));
                }
            }
        });
        proxy.expect("a thread can be started");
        Proxy { address, is_done }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::SeqCst);
        // Ends its wait.
        let _ = TcpStream::connect(&self.address);
    }
}

/// Passes bytes on until the server has sent `limit` bytes and more, or one side ends.
fn forward(sender: TcpStream, server: TcpStream, limit: usize) {
    let (mut from_sender, mut to_server) = (clone(&sender), clone(&server));
    let upwards = thread::Builder::new().spawn(move || {
        let _ = std::io::copy(&mut from_sender, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut passed = clone(&server).take(limit as u64);
    let _ = std::io::copy(&mut passed, &mut clone(&sender));
    if passed.limit() == 0 {
        // Waits for one more, which the sender does not get.
        let _ = clone(&server).read(&mut [0; 8]);
    }
    let _ = sender.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    let _ = upwards.expect("a thread can be started").join();
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor is free")
}

#[test]
fn an_acknowledged_source_needs_a_store() {
    let records = source(
        "records",
        tcp_listener("127.0.0.1:0").acknowledged().lines(),
    );
    let app = App::new("without").add(records.to_sink("none", discard()));
    let error = app
        .run(Options::default())
        .expect_err("it cannot acknowledge");
    assert_eq!(error.code(), Code::StoreNotFound);
    assert!(error.to_string().contains("no store"), "{error}");
}
