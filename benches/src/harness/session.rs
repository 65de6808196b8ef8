//! What all benchmarks of one invocation share.

use std::cell::OnceCell;
use std::fs;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::arguments::Mode;
use crate::harness::Report;
use crate::workload::Work;

/// Number of runs, destination of results, and the calibrated user work.
#[derive(Debug)]
pub(crate) struct Session {
    runs: NonZeroUsize,
    report: Report,
    work: OnceCell<Work>,
}

impl Session {
    pub(crate) fn new(runs: NonZeroUsize, report: Report) -> Self {
        Self {
            runs,
            report,
            work: OnceCell::new(),
        }
    }

    /// Measured runs of each side.
    pub(crate) fn runs(&self) -> usize {
        self.runs.get()
    }

    /// Where results go.
    pub(crate) fn report(&mut self) -> &mut Report {
        &mut self.report
    }

    /// User code of 200 ns per message, calibrated once per invocation.
    pub(crate) fn work_200ns(&self) -> Work {
        *self
            .work
            .get_or_init(|| Work::calibrated(Duration::from_nanos(200)))
    }

    /// The first line: on what, and how busy it was before we began.
    pub(crate) fn describe_machine(&mut self, mode: Mode) {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .unwrap_or("unknown processor");
        let model = model.trim_start_matches([':', '\t', ' ']);
        let load = read("/proc/loadavg")
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let line = format!("machine {model}, {cores} cores, load {load} before the first run");
        let value = json!({"machine": model, "cores": cores, "load": load, "mode": format!("{mode:?}").to_lowercase()});
        self.report.write(&line, &value);
    }
}
