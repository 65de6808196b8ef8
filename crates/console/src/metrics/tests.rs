//! The text format, to the letter.

use std::time::Duration;

use super::*;
use crate::report::{Checkpoint, Kind, StateSize, Stuck};

#[test]
fn a_report_becomes_this_text() {
    let report = Report {
        application: "stocks \"live\"".to_owned(),
        phase: Phase::Paused {
            reason: "no space left".to_owned(),
        },
        workers: 2,
        uptime: Duration::from_millis(1500),
        queued_bytes: 4096,
        nodes: vec![
            Node {
                kind: Kind::Source,
                name: "ticks".to_owned(),
                messages_in: 10,
                messages_out: 9,
                errors: 1,
                dropped: 1,
                lag_messages: None,
                lag_bytes: Some(77),
            },
            Node {
                name: "Stock::on_tick".to_owned(),
                messages_in: 9,
                messages_out: 2,
                ..Node::default()
            },
            Node {
                kind: Kind::Sink,
                name: "highs".to_owned(),
                messages_in: 2,
                messages_out: 1,
                lag_messages: Some(1),
                ..Node::default()
            },
        ],
        stuck: vec![Stuck::default()],
        states: vec![
            StateSize {
                name: "stocks".to_owned(),
                keys: 5,
                bytes: Some(500),
            },
            StateSize {
                name: "total".to_owned(),
                keys: 1,
                bytes: None,
            },
        ],
        checkpoint: Some(Checkpoint {
            last: Some(Committed {
                epoch: 41,
                age: Duration::from_millis(250),
                duration: Duration::from_micros(4200),
                bytes: 1234,
            }),
            uncommitted_epochs: 3,
            input_log_bytes: 99,
            recoveries: 2,
            last_failure: Some("the disk is full".into()),
        }),
    };
    let expected = include_str!("tests/report.prom").replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(text_of(&report), expected);
}

#[test]
fn what_is_not_known_is_left_out() {
    let text = text_of(&Report::default());
    for absent in ["lag", "state_", "checkpoint", "input_log", "messages"] {
        assert!(!text.contains(absent), "{text}");
    }
    let checkpoint = Some(Checkpoint::default());
    let text = text_of(&Report {
        checkpoint,
        ..Report::default()
    });
    assert!(text.contains("\nwallaroo_checkpoint_uncommitted_epochs 0\n"));
    assert!(!text.contains("checkpoint_age"));
}

#[test]
fn label_values_are_escaped_and_bounded_and_no_series_comes_twice() {
    assert_eq!(escaped("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
    let long = "ü".repeat(300);
    assert_eq!(escaped(&long), "ü".repeat(127));
    let node = |end: &str| Node {
        name: format!("{long}{end}"),
        ..Node::default()
    };
    let text = text_of(&Report {
        nodes: vec![node("1"), node("2")],
        ..Report::default()
    });
    assert_eq!(text.matches("wallaroo_messages_in_total{").count(), 1);
}

#[test]
fn every_metric_is_explained() {
    let page = include_str!("../../../../docs/status.md");
    let row = |metric: &Metric| format!("\n| `{}` | {} | ", metric.name, metric.kind);
    let missing: Vec<_> = METRICS
        .iter()
        .filter(|metric| !page.contains(&row(metric)))
        .map(|metric| metric.name)
        .collect();
    assert!(
        missing.is_empty(),
        "docs/status.md does not explain {missing:?}"
    );
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    for metric in METRICS {
        let is_total = metric.name.ends_with("_total");
        assert_eq!(is_total, metric.kind == COUNTER, "{}", metric.name);
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(metric.name.bytes().all(allowed), "{}", metric.name);
        assert!(!metric.help.contains(['\n', '\\']), "{}", metric.name);
    }
    let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), METRICS.len());
}
