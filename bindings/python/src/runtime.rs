//! What Python needs around the engine's work: its lock, its signals, its logging.
//!
//! **Invariants.** Python code runs on the thread that runs the application, and nowhere else. The lock is held while operators
//! work, and not while the worker sleeps or the engine's other threads do theirs.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use pyo3::prelude::*;
use wallaroo::Running;
use wallaroo::host::HostRuntime;

use crate::logging;
use crate::registry::Registry;

/// The longest sleep of the worker.
// Control-C is noticed within it; twenty looks a second cost nothing that can be measured.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// The interpreter around an application.
pub(crate) struct Interpreter {
    registry: Arc<Registry>,
    /// Whether a signal handler of Python that raises ends the application: in the main thread.
    pub(crate) looks_at_signals: bool,
    running: OnceLock<Weak<Running>>,
    /// How many times a signal handler has raised, and what it raised first.
    interrupts: Mutex<(u32, Option<PyErr>)>,
}

impl Interpreter {
    pub(crate) fn new(registry: Arc<Registry>, looks_at_signals: bool) -> Self {
        Interpreter {
            registry,
            looks_at_signals,
            running: OnceLock::new(),
            interrupts: Mutex::default(),
        }
    }

    /// The application to stop when a signal handler raises.
    pub(crate) fn steers(&self, running: &Arc<Running>) {
        // It is said once.
        let _ = self.running.set(Arc::downgrade(running));
    }

    /// Takes out what a signal handler raised first.
    pub(crate) fn take_interrupt(&self) -> Option<PyErr> {
        let mut interrupts = self
            .interrupts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        interrupts.1.take()
    }

    /// The first exception of a signal handler lets the application drain, the second ends it.
    #[cold]
    fn interrupted(&self, py: Python<'_>, error: &PyErr) {
        let Some(running) = self.running.get().and_then(Weak::upgrade) else {
            return;
        };
        let mut interrupts = self
            .interrupts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (count, first) = &mut *interrupts;
        *count += 1;
        first.get_or_insert_with(|| error.clone_ref(py));
        if *count == 1 {
            running.stop();
        } else {
            running.give_up();
        }
    }
}

/// The program has ended without waiting for its application: the interpreter is gone, and the process goes next. Python's own
/// threads stand still then, too.
fn wait_for_the_end_of_the_process() -> ! {
    loop {
        std::thread::park();
    }
}

impl HostRuntime for Interpreter {
    fn enter(&self, work: &mut dyn FnMut()) {
        if Python::try_attach(|_| self.registry.within(work)).is_none() {
            wait_for_the_end_of_the_process();
        }
    }

    fn between_steps(&self) {
        if self.looks_at_signals {
            Python::try_attach(|py| {
                if let Err(error) = py.check_signals() {
                    self.interrupted(py, &error);
                }
            });
        }
        if logging::is_waiting() {
            Python::try_attach(logging::hand_over);
        }
    }

    fn longest_sleep(&self) -> Duration {
        LONGEST_SLEEP
    }
}
