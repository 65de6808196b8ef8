//! An application with the command line of a real one, as a process.

use std::fs::{File, read_to_string};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::{Builder, JoinHandle};

use tempfile::TempDir;
use wallaroo_acceptance::child::wait;
use wallaroo_acceptance::waiting::until;

/// An application as a program, with its outputs in files, and a client that is connected to it.
pub(crate) struct Program {
    pub(crate) child: Child,
    files: TempDir,
    client: TcpStream,
    address: SocketAddr,
}

impl Program {
    pub(crate) fn start() -> Self {
        Program::start_with(|_, _| ())
    }

    /// Another client.
    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("it listens")
    }

    /// Starts one whose sink takes nothing before [`Program::open`].
    pub(crate) fn start_closed(workers: &str) -> Self {
        Program::start_with(|command, files| {
            let gate = files.join("gate");
            command
                .env("SCENARIO_SIGNALS_GATE", gate)
                .env("WALLAROO_WORKERS", workers);
        })
    }

    fn start_with(change: impl FnOnce(&mut Command, &Path)) -> Self {
        // Free a moment ago; if another program takes it now, the child says so and the test fails.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let files = tempfile::tempdir().expect("a directory can be made");
        let file = |name| File::create(files.path().join(name)).expect("a file can be made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_scenario"));
        command
            .env("SCENARIO_SIGNALS_ADDRESS", address.to_string())
            .stdout(file("output"))
            .stderr(file("log"));
        change(&mut command, files.path());
        let child = command
            .spawn()
            .expect("the program of this package is there");
        let mut client = None;
        until("the application listens", || {
            client = TcpStream::connect(address).ok();
            client.is_some()
        });
        Program {
            child,
            files,
            client: client.expect("waited until it is there"),
            address,
        }
    }

    pub(crate) fn send(&mut self, lines: &str) {
        self.client.write_all(lines.as_bytes()).expect("it reads");
    }

    /// Sends numbered lines from now on, on a thread of its own, until nobody reads them any more. What is returned gives the
    /// number of lines sent.
    pub(crate) fn send_on(&self) -> JoinHandle<u64> {
        let mut client = self.client.try_clone().expect("a socket can be cloned");
        let send = move || {
            let is_read = |number: &u64| writeln!(client, "{number}").is_ok();
            (1..).take_while(is_read).count() as u64
        };
        let thread = Builder::new().name("client".to_owned()).spawn(send);
        thread.expect("a thread can be had")
    }

    pub(crate) fn open(&self) {
        File::create(self.files.path().join("gate")).expect("a file can be made");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        let status = self.child.try_wait().expect("the child is ours");
        status.is_none()
    }

    pub(crate) fn text(&self, file: &str) -> String {
        read_to_string(self.files.path().join(file)).expect("it is text")
    }

    pub(crate) fn end(&mut self) -> Option<i32> {
        wait(&mut self.child, "the application ends").code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, unless the test fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn interrupt(child: &Child) {
    signal(child, "-INT");
}

pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .expect("there is a kill command");
    assert!(sent.success(), "the child is there");
}
