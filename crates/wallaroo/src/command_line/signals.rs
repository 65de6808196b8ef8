//! Signals: the first one stops the application, the second one aborts the process.
//!
//! **Invariants.** From [`Signals::watch`] on, no SIGINT or SIGTERM is lost: one that comes while the application
//! starts stops it once it has, and one that comes after its end ends the process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Incoming;
use signal_hook::low_level;
use wallaroo_core::Code;

use super::say;
use crate::error::{Error, ErrorKind};
use crate::running::Running;

/// What a process that was ended by a signal adds to the number of the signal in its exit code.
const EXIT_BY_SIGNAL: i32 = 128;

/// What the next signal does.
enum Stage {
    /// Nothing runs yet: it is remembered.
    Starting,
    /// It stops the application.
    Running(Arc<Running>),
    /// It ends the process.
    Over,
}

/// Watches for signals, on a thread of its own.
pub(super) struct Signals {
    stage: Arc<Mutex<Stage>>,
}

impl Signals {
    /// Begins to watch.
    pub(super) fn watch(application: &str) -> Result<Signals, Error> {
        let stage = Arc::new(Mutex::new(Stage::Starting));
        let shared = Arc::clone(&stage);
        let application = application.to_owned();
        Incoming::new([SIGINT, SIGTERM])
            .and_then(|mut incoming| {
                // It sleeps until the process ends: nothing has to wait for it.
                Builder::new()
                    .name("wallaroo-signal".to_owned())
                    .spawn(move || {
                        for signal in incoming.forever() {
                            on_signal(signal, &application, &shared);
                        }
                    })
            })
            .map_err(|error| {
                let text = format!("cannot watch for signals: {error}; check the limit on threads");
                Error::new(ErrorKind::Unavailable, Code::Resources, text)
            })?;
        Ok(Signals { stage })
    }

    /// The application runs: a signal stops it. One that has come already does so at once.
    pub(super) fn started(&self, running: &Arc<Running>) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match *stage {
            Stage::Starting => *stage = Stage::Running(Arc::clone(running)),
            Stage::Running(_) | Stage::Over => running.stop(),
        }
    }

    /// The application has ended: a signal ends the process. Says whether one has stopped the application.
    pub(super) fn ended(&self) -> bool {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(std::mem::replace(&mut *stage, Stage::Over), Stage::Over)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

fn on_signal(signal: i32, application: &str, stage: &Mutex<Stage>) {
    let before = {
        let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *stage, Stage::Over)
    };
    let again = if signal == SIGINT {
        "ctrl-c"
    } else {
        "the signal"
    };
    let stopping =
        format_args!("stopping: reading no more, finishing what was read; {again} again aborts");
    match before {
        // It is stopped as soon as it has started.
        Stage::Starting => say(application, stopping),
        Stage::Running(running) => {
            say(application, stopping);
            running.stop();
        }
        // Neither waits for other threads nor runs their destructors: one of them may hang.
        Stage::Over => low_level::exit(EXIT_BY_SIGNAL + signal),
    }
}
