use std::fs::{File, read_to_string};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::{Builder, JoinHandle};

use tempfile::TempDir;
use wallaroo_acceptance::child::wait;
use wallaroo_acceptance::waiting::until;

/// An application as a program, with its outputs in files, and a client that is connected to it.
struct Program {
    child: Child,
    files: TempDir,
    client: TcpStream,
}

impl Program {
    fn start() -> Self {
        Program::start_with(|_, _| ())
    }

    /// Starts one whose sink takes nothing before [`Program::open`].
    fn start_closed(workers: &str) -> Self {
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
        }
    }

    fn send(&mut self, lines: &str) {
        self.client.write_all(lines.as_bytes()).expect("it reads");
    }

    /// Sends numbered lines from now on, on a thread of its own, until nobody reads them any more. What is returned gives the
    /// number of lines sent.
    fn send_on(&self) -> JoinHandle<u64> {
        let mut client = self.client.try_clone().expect("a socket can be cloned");
        let send = move || {
            let is_read = |number: &u64| writeln!(client, "{number}").is_ok();
            (1..).take_while(is_read).count() as u64
        };
        let thread = Builder::new().name("client".to_owned()).spawn(send);
        thread.expect("a thread can be had")
    }

    fn open(&self) {
        File::create(self.files.path().join("gate")).expect("a file can be made");
    }

    fn is_running(&mut self) -> bool {
        let status = self.child.try_wait().expect("the child is ours");
        status.is_none()
    }

    fn text(&self, file: &str) -> String {
        read_to_string(self.files.path().join(file)).expect("it is text")
    }

    fn end(&mut self) -> Option<i32> {
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

fn interrupt(child: &Child) {
    signal(child, "-INT");
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .expect("there is a kill command");
    assert!(sent.success(), "the child is there");
}

#[test]
fn the_first_interrupt_lets_everything_accepted_through() {
    let mut program = Program::start();
    program.send("one\ntwo\n");
    until("both lines come through", || {
        program.text("output") == "1 one\n2 two\n"
    });
    interrupt(&program.child);
    assert_eq!(program.end(), Some(0), "{}", program.text("log"));
    assert_eq!(program.text("output"), "1 one\n2 two\n");
}

#[test]
fn the_second_interrupt_ends_a_process_that_cannot_stop() {
    let mut program = Program::start();
    program.send("one\n");
    until("the line comes through", || {
        program.text("output") == "1 one\n"
    });
    program.send("for ever\n");
    interrupt(&program.child);
    until("the application stops", || {
        program.text("log").contains("stopping")
    });
    assert!(program.is_running());
    interrupt(&program.child);
    assert_eq!(program.end(), Some(130), "{}", program.text("log"));
}

/// The number of messages that the application says it has read, in its last line.
fn stopped_after(log: &str) -> u64 {
    let (_, summary) = log
        .split_once("signals: stopped, ")
        .unwrap_or_else(|| panic!("{log}"));
    let (number, _) = summary.split_once(" message").expect("a summary says it");
    number.replace(',', "").parse().expect("it is a number")
}

/// The source goes on, and the sink has taken nothing, when the signal comes: all that was read is on its way.
fn check_drained(name: &str, workers: &str) {
    let mut program = Program::start_closed(workers);
    let client = program.send_on();
    until("the sink is full", || {
        program.text("log").contains("full\n")
    });
    signal(&program.child, name);
    until("the application stops", || {
        program.text("log").contains("stopping")
    });
    assert!(program.is_running());
    assert_eq!(program.text("output"), "");
    program.open();
    let code = program.end();
    let log = program.text("log");
    assert_eq!(code, Some(0), "{log}");
    let accepted = stopped_after(&log);
    let sent = client.join().expect("the client just stops");
    assert!((1..=sent).contains(&accepted), "{accepted} of {sent}");
    let expected: String = (1..=accepted)
        .map(|number| format!("{number} {number}\n"))
        .collect();
    assert!(
        program.text("output") == expected,
        "{accepted} lines were read, and {} came out",
        program.text("output").lines().count()
    );
}

#[test]
fn an_interrupt_lets_what_is_on_its_way_through() {
    check_drained("-INT", "1");
}

#[test]
fn a_termination_lets_what_is_on_its_way_through_with_two_workers() {
    check_drained("-TERM", "2");
}

#[test]
fn the_second_signal_ends_a_process_whose_sink_takes_nothing() {
    let mut program = Program::start_closed("1");
    let client = program.send_on();
    until("the sink is full", || {
        program.text("log").contains("full\n")
    });
    signal(&program.child, "-TERM");
    until("the application stops", || {
        program.text("log").contains("stopping")
    });
    assert!(program.is_running());
    signal(&program.child, "-TERM");
    assert_eq!(program.end(), Some(143), "{}", program.text("log"));
    assert_eq!(program.text("output"), "");
    client.join().expect("the client just stops");
}
