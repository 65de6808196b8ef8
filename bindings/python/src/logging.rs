//! The engine's log, handed to Python's `logging`.
//!
//! **Invariants.** No thread of the engine takes the interpreter's lock to log: events wait in a queue, which the thread that
//! runs Python hands over. The queue is bounded; what does not fit is counted and told.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;
use tracing_subscriber::reload::{self, Handle};

/// Events that wait at most.
const MAX_WAITING: usize = 10_000;

struct Record {
    level: u8,
    target: String,
    text: String,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<Record>,
    lost: u64,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    records: VecDeque::new(),
    lost: 0,
});
static IS_WAITING: AtomicBool = AtomicBool::new(false);
static FILTER: Mutex<Option<Handle<Targets, tracing_subscriber::Registry>>> = Mutex::new(None);

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts events into the queue.
struct Queue;

impl<S: Subscriber> Layer<S> for Queue {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut text = Text::default();
        event.record(&mut text);
        // As the levels of `logging`.
        let level = match *metadata.level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            Level::DEBUG => 10,
            Level::TRACE => 5,
        };
        let record = Record {
            level,
            target: metadata.target().to_owned(),
            text: text.message + &text.fields,
        };
        let mut waiting = waiting();
        if waiting.records.len() < MAX_WAITING {
            waiting.records.push_back(record);
        } else {
            waiting.lost += 1;
        }
        IS_WAITING.store(true, Ordering::Release);
    }
}

/// The text of an event: its message, then its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a `String` cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}

/// Takes the engine's log from now on; once per process.
pub(crate) fn install() {
    let targets = Targets::new().with_default(LevelFilter::INFO);
    let (filter, handle) = reload::Layer::new(targets);
    // Nobody else can have one: this copy of `tracing` belongs to this module.
    if tracing::subscriber::set_global_default(registry().with(filter).with(Queue)).is_ok() {
        *FILTER.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }
}

/// What of the log is wanted.
pub(crate) fn set_filter(targets: Targets) {
    if let Some(filter) = &*FILTER.lock().unwrap_or_else(PoisonError::into_inner) {
        // It fails only when the subscriber is gone.
        let _ = filter.reload(targets);
    }
}

/// Whether anything waits.
#[inline]
pub(crate) fn is_waiting() -> bool {
    IS_WAITING.load(Ordering::Acquire)
}

/// Gives what waits to `logging`.
pub(crate) fn hand_over(py: Python<'_>) {
    IS_WAITING.store(false, Ordering::Release);
    let Waiting { records, lost } = std::mem::take(&mut *waiting());
    let Ok(module) = py.import("wallaroo._logging") else {
        return;
    };
    for Record {
        level,
        target,
        text,
    } in records
    {
        // A handler of the user's that raises is the user's; `logging` itself says so.
        if let Err(error) = module.call_method1("emit", (level, target, text)) {
            error.write_unraisable(py, None);
        }
    }
    if lost > 0 {
        let _ = module.call_method1("emit", (30, "wallaroo", format!("{lost} records of the log were lost: they came faster than they were handed over")));
    }
}
