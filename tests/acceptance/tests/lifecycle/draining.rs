use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use wallaroo::{App, Options, State, channel, generator, memory, source, tcp_listener, tcp_sink};
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::{Arrived, Tally};
use wallaroo_acceptance::waiting::until;

use crate::Count;

/// The server of the sink reads nothing before the application is told to stop, so most messages are still on
/// their way then.
#[test]
fn stop_brings_every_accepted_line_to_the_receiver() {
    const LINES: u64 = 20_000;
    for workers in [1, 3] {
        let listener = tcp_listener("127.0.0.1:0").bind().expect("a port is free");
        let address = listener.local_address().expect("it is bound");
        let server = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let receiver = server.local_addr().expect("it is bound").to_string();
        let running = App::new("echo")
            .add(source("lines", listener.lines()).to_sink("echo", tcp_sink(receiver).lines()))
            .start(Options::with_workers(workers))
            .expect("it starts");
        let mut client = TcpStream::connect(address).expect("it listens");
        let lines: String = (0..LINES).map(|line| format!("{line}\n")).collect();
        client.write_all(lines.as_bytes()).expect("it reads");
        until("all lines are read", || {
            running.status().nodes[0].messages_in == LINES
        });
        running.stop();
        let (connection, _) = server.accept().expect("it connects");
        let received = BufReader::new(connection)
            .lines()
            .map(|line| line.expect("lines come"));
        assert!(
            received.eq((0..LINES).map(|line| line.to_string())),
            "with {workers} workers"
        );
        ending::wait(&running).expect("it completes");
    }
}

/// What was read before the stop comes through, without a gap, although the sink was blocked.
#[test]
fn stop_behind_a_blocked_sink_keeps_what_was_read() {
    for workers in [1, 2] {
        let tally = Tally::once(0);
        let taken = tally.clone();
        let gate = Gate::closed(move |number: u64| {
            taken.add(usize::try_from(number).expect("it fits"));
        });
        let numbers = generator(0u64, |number| Some(number + 1));
        let running = App::new("endless")
            .add(source("numbers", numbers).to_sink("gate", gate.clone()))
            .start(Options::with_workers(workers))
            .expect("it starts");
        until("the gate refuses messages", || gate.has_refused());
        running.stop();
        gate.open();
        ending::wait(&running).expect("it completes");
        let read = running.status().nodes[0].messages_in;
        let expected = Arrived {
            unknown: read,
            ..Arrived::default()
        };
        assert_eq!(tally.arrived(), expected);
    }
}

#[test]
fn what_was_sent_before_a_drop_is_processed() {
    let numbered = memory();
    let counts = State::<Count>::new("counts");
    let (_sender, words) = channel::<String>(100);
    let running = App::new("words")
        .add(
            source("words", words)
                .key_by(|word| word)
                .to_state(&counts, Count::number)
                .to_sink("numbered", numbered.clone()),
        )
        .start(Options::with_workers(2))
        .expect("it starts");
    for word in ["to", "be", "to"] {
        running.send("words", word.to_owned()).expect("it runs");
    }
    drop(running);
    let mut found = numbered.take();
    found.sort();
    let expected = [("be", 1), ("to", 1), ("to", 2)].map(|(word, count)| (word.to_owned(), count));
    assert_eq!(found, expected);
}

#[test]
fn every_waiter_gets_the_end() {
    let (_sender, words) = channel::<String>(1);
    let running = App::new("words")
        .add(source("words", words).end())
        .start(Options::default())
        .expect("it starts");
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| ending::wait(&running)))
            .collect();
        running.stop();
        for waiter in waiters {
            assert_eq!(waiter.join().expect("it waits"), Ok(()));
        }
    });
    assert_eq!(running.wait(), Ok(()));
    running.stop();
    assert_eq!(running.wait(), Ok(()));
}
