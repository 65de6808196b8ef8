//! The report in the text format of Prometheus, version 0.0.4.
//!
//! **Invariants.** All metrics are in one table, [`METRICS`], and in docs/status.md. A series never comes twice, a label value
//! is at most [`MAX_LABEL_BYTES`] long, and labels are names of the application: never keys, never texts of errors.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::report::{Committed, Node, Phase, Report};

/// The content type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The longest label value.
// 255: the longest name that a plan has.
const MAX_LABEL_BYTES: usize = 255;

/// A metric.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: fn(&Report, &mut Samples<'_>),
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

const METRICS: &[Metric] = &[
    Metric {
        name: "wallaroo_info",
        kind: GAUGE,
        help: "Always 1; the labels say which application runs, on which release of Wallaroo.",
        samples: |report, samples| {
            let version = env!("CARGO_PKG_VERSION");
            samples.add(
                &[("application", &report.application), ("version", version)],
                1,
            );
        },
    },
    Metric {
        name: "wallaroo_run_phase",
        kind: GAUGE,
        help: "1 for what the run is doing, 0 for all else.",
        samples: |report, samples| {
            for name in Phase::NAMES {
                samples.add(&[("phase", name)], u64::from(name == report.phase.name()));
            }
        },
    },
    Metric {
        name: "wallaroo_uptime_seconds",
        kind: GAUGE,
        help: "How long the run has lasted.",
        samples: |report, samples| samples.add_seconds(report.uptime.as_secs_f64()),
    },
    Metric {
        name: "wallaroo_workers",
        kind: GAUGE,
        help: "Workers.",
        samples: |report, samples| samples.add(&[], report.workers as u64),
    },
    Metric {
        name: "wallaroo_queued_bytes",
        kind: GAUGE,
        help: "Bytes queued between operators.",
        samples: |report, samples| samples.add(&[], report.queued_bytes),
    },
    Metric {
        name: "wallaroo_stuck_functions",
        kind: GAUGE,
        help: "Functions that have been running for long.",
        samples: |report, samples| samples.add(&[], report.stuck.len() as u64),
    },
    Metric {
        name: "wallaroo_messages_in_total",
        kind: COUNTER,
        help: "Messages taken; by a source, those read.",
        samples: |report, samples| of_nodes(report, samples, |node| Some(node.messages_in)),
    },
    Metric {
        name: "wallaroo_messages_out_total",
        kind: COUNTER,
        help: "Messages passed on.",
        samples: |report, samples| of_nodes(report, samples, |node| Some(node.messages_out)),
    },
    Metric {
        name: "wallaroo_message_errors_total",
        kind: COUNTER,
        help: "Messages and records that failed, whatever the error policy.",
        samples: |report, samples| of_nodes(report, samples, |node| Some(node.errors)),
    },
    Metric {
        name: "wallaroo_messages_dropped_total",
        kind: COUNTER,
        help: "Messages and records that failed and were passed over.",
        samples: |report, samples| of_nodes(report, samples, |node| Some(node.dropped)),
    },
    Metric {
        name: "wallaroo_lag_messages",
        kind: GAUGE,
        help: "Messages that are there and not taken, where that is known.",
        samples: |report, samples| of_nodes(report, samples, |node| node.lag_messages),
    },
    Metric {
        name: "wallaroo_lag_bytes",
        kind: GAUGE,
        help: "Bytes that are there and not taken, where that is known.",
        samples: |report, samples| of_nodes(report, samples, |node| node.lag_bytes),
    },
    Metric {
        name: "wallaroo_state_keys",
        kind: GAUGE,
        help: "Keys that have a state object.",
        samples: |report, samples| {
            for state in &report.states {
                samples.add(&[("state", &state.name)], state.keys);
            }
        },
    },
    Metric {
        name: "wallaroo_state_bytes",
        kind: GAUGE,
        help: "Bytes that state objects occupy, where that is known.",
        samples: |report, samples| {
            for state in &report.states {
                if let Some(bytes) = state.bytes {
                    samples.add(&[("state", &state.name)], bytes);
                }
            }
        },
    },
    Metric {
        name: "wallaroo_checkpoint_epoch",
        kind: GAUGE,
        help: "The epoch of the last checkpoint.",
        samples: |report, samples| of_last(report, |last| samples.add(&[], last.epoch)),
    },
    Metric {
        name: "wallaroo_checkpoint_age_seconds",
        kind: GAUGE,
        help: "Time since the last checkpoint.",
        samples: |report, samples| {
            of_last(report, |last| samples.add_seconds(last.age.as_secs_f64()));
        },
    },
    Metric {
        name: "wallaroo_checkpoint_duration_seconds",
        kind: GAUGE,
        help: "Time that the last checkpoint took, from the end of its epoch to its commit.",
        samples: |report, samples| {
            of_last(report, |last| {
                samples.add_seconds(last.duration.as_secs_f64())
            });
        },
    },
    Metric {
        name: "wallaroo_checkpoint_bytes",
        kind: GAUGE,
        help: "Bytes written for the last checkpoint.",
        samples: |report, samples| of_last(report, |last| samples.add(&[], last.bytes)),
    },
    Metric {
        name: "wallaroo_checkpoint_uncommitted_epochs",
        kind: GAUGE,
        help: "Epochs that have ended and are not committed.",
        samples: |report, samples| {
            if let Some(checkpoint) = &report.checkpoint {
                samples.add(&[], checkpoint.uncommitted_epochs);
            }
        },
    },
    Metric {
        name: "wallaroo_input_log_bytes",
        kind: GAUGE,
        help: "The size of the input log.",
        samples: |report, samples| {
            if let Some(checkpoint) = &report.checkpoint {
                samples.add(&[], checkpoint.input_log_bytes);
            }
        },
    },
    Metric {
        name: "wallaroo_recoveries_total",
        kind: COUNTER,
        help: "How often the application has gone back to its last commit.",
        samples: |report, samples| {
            if let Some(checkpoint) = &report.checkpoint {
                samples.add(&[], checkpoint.recoveries);
            }
        },
    },
];

fn of_nodes(report: &Report, samples: &mut Samples<'_>, value: fn(&Node) -> Option<u64>) {
    for node in &report.nodes {
        if let Some(value) = value(node) {
            samples.add(&[(node.kind.name(), &node.name)], value);
        }
    }
}

fn of_last(report: &Report, add: impl FnOnce(&Committed)) {
    let last = report.checkpoint.as_ref();
    if let Some(last) = last.and_then(|checkpoint| checkpoint.last.as_ref()) {
        add(last);
    }
}

/// The samples of one metric.
struct Samples<'a> {
    name: &'static str,
    text: &'a mut String,
    seen: BTreeSet<String>,
}

impl Samples<'_> {
    fn add(&mut self, labels: &[(&str, &str)], value: u64) {
        self.line(labels, &value.to_string());
    }

    fn add_seconds(&mut self, seconds: f64) {
        self.line(&[], &seconds.to_string());
    }

    fn line(&mut self, labels: &[(&str, &str)], value: &str) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        if !self.seen.contains(&labels) {
            let _ = writeln!(self.text, "{}{labels} {value}", self.name);
            self.seen.insert(labels);
        }
    }
}

/// A label value, cut where it is too long.
fn escaped(value: &str) -> String {
    let end = value.floor_char_boundary(MAX_LABEL_BYTES);
    let mut escaped = String::with_capacity(end);
    for c in value[..end].chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// All metrics of a report. Those without a sample are left out.
pub(crate) fn text_of(report: &Report) -> String {
    let mut text = String::new();
    for metric in METRICS {
        let mut lines = String::new();
        let mut samples = Samples {
            name: metric.name,
            text: &mut lines,
            seen: BTreeSet::new(),
        };
        (metric.samples)(report, &mut samples);
        if !lines.is_empty() {
            let _ = writeln!(text, "# HELP {} {}", metric.name, metric.help);
            let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind);
            text.push_str(&lines);
        }
    }
    text
}

#[cfg(test)]
mod tests;
