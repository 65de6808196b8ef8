//! The log of a program, and what a panic looks like in it.
//!
//! **Invariants.** A subscriber that the program has installed before is kept. With `RUST_BACKTRACE` set, panics are
//! reported as Rust does.

use std::io::{IsTerminal, Write};
use std::panic;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The level without `--log`.
pub(super) const DEFAULT_LEVEL: &str = "info";

/// Reads a level, or a list of levels by module: `info,wallaroo=debug`. `None` if it is neither.
pub(super) fn filter(text: &str) -> Option<EnvFilter> {
    // `EnvFilter` would take a misspelt level for the name of a module.
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    if !text
        .split(',')
        .all(|part| part.contains('=') || is_level(part))
    {
        return None;
    }
    EnvFilter::builder()
        .with_default_directive(LevelFilter::ERROR.into())
        .parse(text)
        .ok()
}

/// Whether what the command line itself has to tell is wanted.
pub(super) fn is_on() -> bool {
    tracing::enabled!(tracing::Level::INFO)
}

/// Writes the log to the standard error from now on, and panics as one line.
pub(super) fn install(application: &str, filter: EnvFilter) {
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal);
    // It fails when the program has a subscriber of its own, which then stays.
    let _ = if is_terminal {
        tracing::subscriber::set_global_default(log.compact().without_time().finish())
    } else {
        tracing::subscriber::set_global_default(log.finish())
    };
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        let application = application.to_owned();
        panic::set_hook(Box::new(move |panic| {
            let text = panic.payload_as_str().unwrap_or("a panic without a text");
            let place = panic
                .location()
                .map(|place| format!(" at {place}"))
                .unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "{application}: panic{place}: {text}");
        }));
    }
}
