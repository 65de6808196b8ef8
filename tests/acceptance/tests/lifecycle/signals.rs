use std::fs::{File, read_to_string};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};

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
        // Free a moment ago; if another program takes it now, the child says so and the test fails.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let files = tempfile::tempdir().expect("a directory can be made");
        let file = |name| File::create(files.path().join(name)).expect("a file can be made");
        let child = Command::new(env!("CARGO_BIN_EXE_scenario"))
            .env("SCENARIO_SIGNALS_ADDRESS", address.to_string())
            .stdout(file("output"))
            .stderr(file("log"))
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
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
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
    assert!(
        program
            .child
            .try_wait()
            .expect("the child is ours")
            .is_none()
    );
    interrupt(&program.child);
    assert_eq!(program.end(), Some(130), "{}", program.text("log"));
}
