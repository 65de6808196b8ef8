//! Records per second: the line with `ratio`, `cpu` and `wall`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Cost, Interleaved, Session, Spread, Stopwatch, interleave, pairs};
use crate::workload::Tally;

/// Which time decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Processor time of the process: for one worker, where other programs on the machine must not count.
    Cpu,
    /// Wall-clock time: for several workers, where running at the same time is the point.
    Wall,
}

/// What both sides process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) clock: Clock,
    /// Records of a run, warm-up included.
    pub(crate) records: u64,
    /// Whether both sides see the records of a key in one order, so that order-dependent results must agree too.
    pub(crate) ordered: bool,
}

/// Runs both sides, checks that they computed the same, and reports `name`.
///
/// Both sides get the stopwatch of their run, which may be restarted after a warm-up. One run of each side is not
/// measured.
pub(crate) fn compare(
    session: &mut Session,
    name: &str,
    job: Job,
    subject: Option<&dyn Fn(Arc<Stopwatch>) -> Tally>,
    comparator: &dyn Fn(Arc<Stopwatch>) -> Tally,
) {
    let expected = comparator(Arc::new(Stopwatch::start()));
    let measure = |side: &dyn Fn(Arc<Stopwatch>) -> Tally| {
        let stopwatch = Arc::new(Stopwatch::start());
        let tally = side(Arc::clone(&stopwatch));
        let elapsed = stopwatch.elapsed();
        assert!(
            tally.agrees(&expected, job.ordered),
            "{name}: results differ: {tally:?}, expected {expected:?}"
        );
        elapsed.per_record(job.records)
    };
    if let Some(subject) = subject {
        measure(subject);
    }
    let samples = interleave(
        session.runs(),
        subject.map(|subject| || measure(subject)),
        || measure(comparator),
    );
    let (line, mut value) = describe(name, job.clock, &samples);
    value["records"] = json!(job.records);
    value["checksum"] = json!(expected.to_string());
    session.report().write(&line, &value);
}

/// Line and JSON of what both sides took.
pub(crate) fn describe(name: &str, clock: Clock, samples: &Interleaved<Cost>) -> (String, Value) {
    let runs = samples.comparator.len();
    let spread = |side: &[Cost], time: fn(&Cost) -> f64| Spread::of(side.iter().map(time));
    let cpu = spread(&samples.comparator, |cost| cost.cpu).expect("at least one run");
    let wall = spread(&samples.comparator, |cost| cost.wall).expect("at least one run");
    let cpu_ratio = Spread::of(pairs(samples, |subject, comparator| {
        comparator.cpu / subject.cpu
    }));
    let wall_ratio = Spread::of(pairs(samples, |subject, comparator| {
        comparator.wall / subject.wall
    }));
    let (ratio, absolute) = match clock {
        Clock::Cpu => (cpu_ratio, cpu),
        Clock::Wall => (wall_ratio, wall),
    };
    let subject_cpu = spread(&samples.subject, |cost| cost.cpu);
    let line = match (ratio, wall_ratio, subject_cpu) {
        (Some(ratio), Some(wall_ratio), Some(subject_cpu)) => format!(
            "bench {name} ratio {:.2} ({runs} runs, {:.2}–{:.2}) cpu {:.1} vs {:.1} ns/record wall {:.2}",
            ratio.median, ratio.low, ratio.high, subject_cpu.median, cpu.median, wall_ratio.median
        ),
        _ => format!(
            "bench {name} comparator only ({runs} runs, {:.1}–{:.1}) cpu {:.1} ns/record wall {:.1} ns/record",
            absolute.low, absolute.high, cpu.median, wall.median
        ),
    };
    let value = json!({
        "name": name, "unit": "ns/record", "ratio_of": if clock == Clock::Cpu { "cpu" } else { "wall" },
        "runs": runs, "ratio": ratio, "cpu_ratio": cpu_ratio, "wall_ratio": wall_ratio,
        "subject": samples.subject, "comparator": samples.comparator,
    });
    (line, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Interleaved<Cost> {
        let cost = |cpu, wall| Cost { cpu, wall };
        Interleaved {
            subject: vec![cost(12.5, 20.0), cost(12.5, 20.0)],
            comparator: vec![cost(10.0, 10.0); 2],
        }
    }

    #[test]
    fn line_of_one_worker_is_decided_by_cpu() {
        let (line, _) = describe("engine/x", Clock::Cpu, &samples());
        assert_eq!(
            line,
            "bench engine/x ratio 0.80 (2 runs, 0.80–0.80) cpu 12.5 vs 10.0 ns/record wall 0.50"
        );
    }

    #[test]
    fn line_of_two_workers_is_decided_by_wall() {
        let (line, _) = describe("engine/x", Clock::Wall, &samples());
        assert_eq!(
            line,
            "bench engine/x ratio 0.50 (2 runs, 0.50–0.50) cpu 12.5 vs 10.0 ns/record wall 0.50"
        );
    }
}
