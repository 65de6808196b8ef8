//! The limit of memory: backpressure in time, and then an end that says why, instead of the system's.
//!
//! A thread looks at the memory that the process occupies. From nine tenths of the limit on, each time there is a hundredth more,
//! sources wait until what is on its way has gone through and is committed. If the limit is reached and it stays so when nothing is on
//! its way, the run ends: what was handled is committed by then.
//!
//! **Invariants.** Nothing is decided by the engine's estimates: what counts is what the system counts. Sources wait for at most
//! [`PATIENCE`] at a time. The thread ends with the run.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wallaroo_core::{Clock, Code, SystemClock};
use wallaroo_engine::{Failure, RunHandle};

use crate::durable::CheckpointView;
use crate::error::{Error, ErrorKind};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// The same above half of the limit. A look costs tens of microseconds.
const NEAR_LOOK: Duration = Duration::from_millis(20);
/// How long sources wait for what is on its way.
const PATIENCE: Duration = Duration::from_secs(10);
/// A process that grows on while nothing is read is not waited for beyond this part of the limit, in hundredths.
const BEYOND: u64 = 110;
/// Where sources wait for the first time, in hundredths of the limit.
const SOFT: u64 = 90;

/// Watches the memory of a run. Dropped when the run has ended.
pub(crate) struct Guard {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    is_set: Mutex<bool>,
    news: Condvar,
}

impl Guard {
    /// Begins to watch a run.
    pub(crate) fn start(
        limit: u64,
        run: RunHandle,
        checkpoints: Option<CheckpointView>,
    ) -> Result<Self, Error> {
        let refused = |text: String| Error::new(ErrorKind::Unavailable, Code::Resources, text);
        let used = resident().ok_or_else(|| {
            refused("cannot keep to a limit of memory: this system does not tell what a process occupies; start without the limit".to_owned())
        })?;
        if used >= limit {
            return Err(Error::new(
                ErrorKind::Invalid,
                Code::MemoryLimit,
                format!(
                    "the limit of memory is {}, and the process occupies {} before it has begun; allow more",
                    size(limit),
                    size(used)
                ),
            ));
        }
        let stop = Arc::new(Stop::default());
        let watching = Watching {
            limit,
            run,
            checkpoints,
            stop: Arc::clone(&stop),
            clock: SystemClock::new(),
        };
        let thread = std::thread::Builder::new().name("wallaroo-memory".to_owned());
        let thread = thread
            .spawn(move || watching.watch())
            .map_err(|error| refused(format!("cannot watch the memory: {error}")))?;
        Ok(Guard {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        *self.stop.lock() = true;
        self.stop.news.notify_all();
        if let Some(thread) = self.thread.take() {
            // It does not panic: it calls nothing of others.
            let _ = thread.join();
        }
    }
}

impl Stop {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the next look; false when there is to be none any more.
    fn rest(&self, time: Duration) -> bool {
        let waited = self
            .news
            .wait_timeout_while(self.lock(), time, |is_set| !*is_set);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

struct Watching {
    limit: u64,
    run: RunHandle,
    checkpoints: Option<CheckpointView>,
    stop: Arc<Stop>,
    clock: SystemClock,
}

impl Watching {
    fn watch(&self) {
        let soft = self.limit / 100 * SOFT;
        let mut mark = soft;
        let mut look = LOOK;
        while self.stop.rest(look) {
            let used = resident().unwrap_or(0);
            look = if used > self.limit / 2 {
                NEAR_LOOK
            } else {
                LOOK
            };
            if used < mark {
                continue;
            }
            self.run.hold(true);
            tracing::warn!(
                "{} of memory of a limit of {}: sources wait until what is on its way is handled",
                size(used),
                size(self.limit)
            );
            self.settle();
            let used = resident().unwrap_or(0);
            if used >= self.limit {
                self.run.fail(Failure::Memory {
                    error: format!(
                        "the process occupies {} of memory, its limit is {}, and nothing more is on its way that could make it less; allow more (--memory-limit), or keep fewer or smaller state objects: expire_after and ctx.forget() drop those that are no longer needed",
                        size(used),
                        size(self.limit)
                    ),
                });
                return;
            }
            self.run.hold(false);
            mark = soft.max(used + self.limit / 100);
        }
    }

    /// Waits until what is on its way has gone through, and is committed where there is a store; not for ever.
    fn settle(&self) {
        let began = self.clock.now();
        let asked = self.checkpoints.as_ref().map(CheckpointView::begin_commit);
        while self.stop.rest(NEAR_LOOK) && self.clock.now().since(began) < PATIENCE {
            let is_settled = match (&self.checkpoints, asked) {
                (Some(checkpoints), Some(epoch)) => checkpoints.is_committed(epoch),
                _ => {
                    let status = self.run.status();
                    // Two looks in a row see what is handled between them.
                    status.is_none_or(|status| status.queued_bytes == 0)
                        && self.clock.now().since(began) >= 2 * LOOK
                }
            };
            let used = resident().unwrap_or(0);
            if is_settled || used >= self.limit / 100 * BEYOND {
                return;
            }
        }
    }
}

/// What the process occupies of the memory; none where the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&status, "VmRSS:")
}

/// The memory that the process may occupy as far as the system limits it: the smallest limit of its control groups, and the
/// memory of the machine.
pub(crate) fn available() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = kilobytes(&machine, "MemTotal:")?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let read = |path: &str| std::fs::read_to_string(path).ok();
    Some(limits(&groups, &read).fold(machine, u64::min))
}

/// The limits of control groups, of which `groups` has the lines of `/proc/self/cgroup`: of each and all above it.
fn limits(groups: &str, read: &dyn Fn(&str) -> Option<String>) -> impl Iterator<Item = u64> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container its own group is at the root, whatever the line says.
        let mut path = path.trim_end_matches('/');
        loop {
            let text = read(&format!("{root}{path}/{file}"));
            // "max" is no limit
            found.extend(text.and_then(|text| text.trim().parse::<u64>().ok()));
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => break,
            }
        }
    }
    found.into_iter()
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number = line.trim().strip_suffix("kB")?.trim().parse::<u64>();
    number.ok()?.checked_mul(1024)
}

fn size(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_of_the_groups_above_counts() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "1048576\n"),
            ("/sys/fs/cgroup/memory.max", "2097152\n"),
            (
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ];
        let read = |path: &str| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        let found = |groups: &str| limits(groups, &read).collect::<Vec<_>>();
        assert_eq!(found("0::/a/b\n"), [1 << 20, 2 << 20]);
        assert_eq!(found("0::/\n"), [2 << 20]);
        assert_eq!(
            found("4:cpu,memory:/x\n1:pids:/a\n"),
            [9_223_372_036_854_771_712]
        );
        assert_eq!(found("nonsense"), [0_u64; 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_what_the_process_occupies() {
        let used = resident().expect("Linux does");
        assert!(used > 1 << 20, "{used}");
        assert!(available().expect("Linux does") > used);
    }
}
