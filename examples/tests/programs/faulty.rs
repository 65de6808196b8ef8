//! A program that fails in the way its input says, for the tests of the command line.

use std::num::ParseIntError;

use wallaroo::{App, file, source, stdout};

fn number(line: &String) -> Result<Option<u64>, ParseIntError> {
    if line == "hang" {
        println!("hanging");
        loop {
            std::thread::park();
        }
    }
    assert!(line != "panic", "the line says so");
    line.parse().map(Some)
}

fn main() {
    App::new("faulty")
        .add(
            source("lines", file("lines.txt").lines())
                .to(number)
                .to_sink("numbers", stdout().lines()),
        )
        .main();
}
