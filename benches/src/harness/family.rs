//! Families of benchmarks and the choice of what runs.

use std::fmt;

use crate::arguments::Mode;
use crate::harness::Session;

/// Benchmarks that share a comparator, and therefore a noise floor.
#[derive(Debug)]
pub(crate) struct Family {
    /// The comparator against itself; runs first whenever any benchmark of the family runs.
    pub(crate) noise_floor: Option<Benchmark>,
    /// The lines of the family, in order.
    pub(crate) benchmarks: Vec<Benchmark>,
}

/// One named benchmark; it prints one line, or one line per quantity.
pub(crate) struct Benchmark {
    name: String,
    mode: Mode,
    body: Box<dyn Fn(&mut Session, &str)>,
}

impl Benchmark {
    /// A benchmark that belongs to `mode`; `body` gets the session and the name.
    pub(crate) fn new(
        mode: Mode,
        name: impl Into<String>,
        body: impl Fn(&mut Session, &str) + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            mode,
            body: Box::new(body),
        }
    }
}

impl fmt::Debug for Benchmark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Benchmark")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Family {
    /// Runs the noise floor and the benchmarks that `mode` and `filter` choose; nothing if they choose none.
    pub(crate) fn run(&self, session: &mut Session, mode: Mode, filter: Option<&str>) {
        let chosen = |benchmark: &&Benchmark| {
            benchmark.mode <= mode && filter.is_none_or(|text| benchmark.name.contains(text))
        };
        let any_chosen = self
            .noise_floor
            .iter()
            .chain(&self.benchmarks)
            .any(|benchmark| chosen(&benchmark));
        let noise_floor = self.noise_floor.iter().filter(|_| any_chosen);
        for benchmark in noise_floor.chain(self.benchmarks.iter().filter(chosen)) {
            (benchmark.body)(session, &benchmark.name);
        }
    }
}
