//! The printed lines and the JSON lines.
//!
//! `ratio` is always "larger is better" (comparator time / subject time); `times` is always "smaller is better"
//! (subject cost / comparator cost). A benchmark without subject prints what its comparator costs.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Interleaved, Spread, pairs};

/// Where results go: standard output, and a file of JSON lines if one is wanted.
#[derive(Debug)]
pub(crate) struct Report {
    json: Option<File>,
}

impl Report {
    /// A report that also writes JSON lines to `path`, which is replaced.
    pub(crate) fn create(path: Option<&Path>) -> io::Result<Self> {
        Ok(Self {
            json: path.map(File::create).transpose()?,
        })
    }

    /// Prints `line` and appends `value` to the JSON lines.
    pub(crate) fn write(&mut self, line: &str, value: &Value) {
        println!("{line}");
        if let Some(file) = &mut self.json {
            // Unbuffered, so that an interrupted invocation keeps what it has measured.
            if let Err(error) = writeln!(file, "{value}") {
                eprintln!(
                    "cannot write the file of --json: {error}; the lines above are all there is"
                );
                self.json = None;
            }
        }
    }
}

/// Line and JSON of a quantity that should be small, like a latency; `decimals` and `unit` are for the line.
pub(crate) fn costs(
    name: &str,
    unit: &str,
    decimals: usize,
    samples: &Interleaved<f64>,
) -> (String, Value) {
    let runs = samples.comparator.len();
    let comparator = Spread::of(samples.comparator.iter().copied()).expect("at least one run");
    let subject = Spread::of(samples.subject.iter().copied());
    let times = Spread::of(pairs(samples, |subject, comparator| subject / comparator));
    let line = match (times, subject) {
        (Some(times), Some(subject)) => format!(
            "bench {name} times {:.2} ({runs} runs, {:.2}–{:.2}) {:.decimals$} vs {:.decimals$} {unit}",
            times.median, times.low, times.high, subject.median, comparator.median
        ),
        _ => format!(
            "bench {name} comparator only ({runs} runs, {:.decimals$}–{:.decimals$}) {:.decimals$} {unit}",
            comparator.low, comparator.high, comparator.median
        ),
    };
    let value = json!({
        "name": name, "unit": unit, "runs": runs, "times": times,
        "subject": samples.subject, "comparator": samples.comparator,
    });
    (line, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_line_says_times() {
        let samples = Interleaved {
            subject: vec![20.0, 30.0, 22.0],
            comparator: vec![10.0, 10.0, 11.0],
        };
        let (line, _) = costs("latency/x/p50", "us", 1, &samples);
        assert_eq!(
            line,
            "bench latency/x/p50 times 2.00 (3 runs, 2.00–3.00) 22.0 vs 10.0 us"
        );
    }

    #[test]
    fn costs_line_without_subject_says_so() {
        let samples = Interleaved {
            subject: vec![],
            comparator: vec![10.0, 12.0, 11.0],
        };
        let (line, _) = costs("latency/x/p50", "us", 1, &samples);
        assert_eq!(
            line,
            "bench latency/x/p50 comparator only (3 runs, 10.0–12.0) 11.0 us"
        );
    }
}
