//! A source at full speed whose records cannot be decoded, in front of a sink of dead letters that is blocked
//! at first.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use wallaroo::{App, DeadLetter, Options, file, source};
use wallaroo_acceptance::child::Report;
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::Tally;
use wallaroo_acceptance::waiting::{until, until_still};

use crate::pressure::{Measurement, number, text};

/// Records of the file.
const RECORDS: usize = 400_000;

pub(crate) fn run(options: Options) -> Report {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("records.txt");
    let mut records = BufWriter::new(File::create(&path).expect("a file can be made"));
    (0..RECORDS)
        .try_for_each(|number| writeln!(records, "{}", text(number)))
        .and_then(|()| records.flush())
        .expect("a file can be written");
    let mut measurement = Measurement::begin();
    let tally = Tally::once(RECORDS);
    let taken = tally.clone();
    let gate = Gate::closed(move |letter: DeadLetter| {
        taken.add(number(&String::from_utf8_lossy(&letter.message)));
    });
    let refuse = |_: &[u8]| Err("not a message".into());
    let running = App::new("rejected")
        .add(
            source("records", file(&path).decode::<String, _>(refuse))
                .dead_letter("letters", gate.clone())
                .end(),
        )
        .start(options)
        .expect("it starts");
    until("the gate refuses messages", || gate.has_refused());
    let nodes = until_still("the status of the application", || running.status().nodes);
    measurement.fact("read while blocked", nodes[0].dropped);
    gate.open();
    ending::wait(&running).expect("it completes");
    measurement.arrived("letters", &tally);
    measurement.end()
}
