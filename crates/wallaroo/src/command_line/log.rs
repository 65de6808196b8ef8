//! The log of a program, and what a panic looks like in it.
//!
//! **Invariants.** A subscriber that the program has installed before is kept. With `RUST_BACKTRACE` set, panics are
//! reported as Rust does, or as the program's own panic hook. In any case errors about panics tell their place.

use std::io::{IsTerminal, Write};
use std::panic;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry;
use wallaroo_engine::record_panic;

/// The level without `--log`.
pub(super) const DEFAULT_LEVEL: &str = "info";

/// Reads a level, or a list of levels by module: `info,wallaroo=debug`. `None` if it is neither.
pub(super) fn filter(text: &str) -> Option<Targets> {
    // `Targets` would take a misspelt level for the name of a module.
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let is_known = |part: &str| part.contains('=') || is_level(part);
    text.split(',').all(is_known).then(|| text.parse().ok())?
}

/// Whether what the command line itself has to tell is wanted.
pub(super) fn is_on() -> bool {
    tracing::enabled!(tracing::Level::INFO)
}

/// Writes the log to the standard error from now on, and panics as one line.
pub(super) fn install(application: &str, filter: Targets) {
    let is_terminal = std::io::stderr().is_terminal();
    let log = layer().with_writer(std::io::stderr).with_ansi(is_terminal);
    let log = if is_terminal {
        log.compact().without_time().boxed()
    } else {
        log.boxed()
    };
    // It fails when the program has a subscriber of its own, which then stays.
    let _ = tracing::subscriber::set_global_default(registry().with(log).with(filter));
    let backtrace = std::env::var_os("RUST_BACKTRACE");
    if backtrace.is_some_and(|value| value != "0") {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            record_panic(panic);
            before(panic);
        }));
    } else {
        let application = application.to_owned();
        panic::set_hook(Box::new(move |panic| {
            record_panic(panic);
            let text = panic.payload_as_str().unwrap_or("a panic without a text");
            let place = panic
                .location()
                .map(|place| format!(" at {place}"))
                .unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "{application}: panic{place}: {text}");
        }));
    }
}
