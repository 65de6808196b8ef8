//! An application with files, sockets and workers, started and stopped many times in one process.

use std::net::TcpStream;

use wallaroo::{App, Options, State, file_sink, source, tcp_listener};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::process::{open_files, threads};
use wallaroo_acceptance::waiting::{until, until_still};

use crate::pressure::{Count, Measurement};

/// How often it is started and stopped.
const TIMES: usize = 100;

pub(crate) fn run(options: &Options) -> Report {
    let mut measurement = Measurement::begin();
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("out.txt");
    let once = || {
        let counts = State::<Count>::new("counts");
        let lines = tcp_listener("127.0.0.1:0").bind().expect("a port is free");
        let address = lines.local_address().expect("it is bound");
        let running = App::new("restarts")
            .add(
                source("lines", lines.lines())
                    .collect()
                    .to_state(&counts, Count::pass)
                    .to_sink("out", file_sink(&path).lines()),
            )
            .start(options.clone())
            .expect("it starts");
        let client = TcpStream::connect(address).expect("it listens");
        running.stop();
        ending::wait(&running).expect("it completes");
        drop((running, client));
    };
    once();
    // Threads of connections that have just ended may be there for a moment longer.
    let before = until_still("what is open", || (threads(), open_files()));
    (0..TIMES).for_each(|_| once());
    until("all runs are cleared away", || {
        threads() <= before.0 && open_files() <= before.1
    });
    measurement.fact("threads before", before.0 as u64);
    measurement.fact("threads after", threads() as u64);
    measurement.fact("files before", before.1 as u64);
    measurement.fact("files after", open_files() as u64);
    measurement.end()
}
