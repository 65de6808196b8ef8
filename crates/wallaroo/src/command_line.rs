//! The command line of an application: [`App::main`].
//!
//! It reads the options ([`arguments`]), sets up the log ([`log`]), lets signals stop the application
//! ([`signals`]), runs it, and turns its end into an exit code: 0 when all is well, 1 when it failed, 2 when the command line was wrong.
//!
//! **Invariants.** This module alone reads arguments and environment, installs signal handlers, a panic hook and a
//! subscriber, and ends the process. It writes to the standard error only; the standard output belongs to
//! the sinks, and to `--help` and `--version`.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use wallaroo_core::{Clock, SystemClock};
use wallaroo_engine::Status;

use crate::app::{App, Named, Options};
use crate::error::Error;
use crate::host;

mod arguments;
mod connectors;
mod log;
mod names;
mod signals;

use arguments::{Arguments, Program, Request};
use signals::Signals;

/// The application failed, or could not start.
const FAILED: i32 = 1;
/// The command line was not understood.
const MISUSED: i32 = 2;

impl App {
    /// Runs the application as a program: with the options of its command line, until its input has ended or it is
    /// told to stop.
    ///
    /// Options are `--workers N|auto`, `--in NAME=ADDRESS`, `--out NAME=ADDRESS`, `--log LEVEL`, `--status ADDRESS`, and `--store ADDRESS` with
    /// those of the store, or environment variables like `WALLAROO_WORKERS` and `WALLAROO_STORE`; `--help` explains them
    /// and lists the sources and sinks. The log goes to the standard error.
    ///
    /// SIGINT (control-C) and SIGTERM let the sources end; everything accepted still goes through the sinks. A second
    /// one ends the process at once, with exit code 130 or 143.
    ///
    /// It returns when everything is written, so that the program can show results. In all other cases it ends the
    /// process: after `--help` with exit code 0, when the application failed or could not start with 1, when the
    /// command line was not understood with 2. The reason is on the standard error, as `error: WAL-0501: …`.
    ///
    /// # Example
    /// ```no_run
    /// use wallaroo::{App, iter, source, stdout};
    ///
    /// fn main() {
    ///     App::new("squares")
    ///         .add(source("numbers", iter(1..=3u64)).to(|n| Some(n * n)).to_sink("squares", stdout().lines()))
    ///         .main();
    /// }
    /// ```
    pub fn main(self) {
        self.main_with(Options::default());
    }

    /// As [`App::main`], for a program that has its own idea of how to run: what the command line and the environment do not
    /// say is as `defaults` says.
    ///
    /// # Example
    /// ```no_run
    /// use wallaroo::{App, Options, iter, source, stdout};
    ///
    /// fn main() {
    ///     App::new("squares")
    ///         .add(source("numbers", iter(1..=3u64)).to(|n| Some(n * n)).to_sink("squares", stdout().lines()))
    ///         .main_with(Options { store: Some("./squares-data".into()), ..Options::default() });
    /// }
    /// ```
    pub fn main_with(self, defaults: Options) {
        let program = self.as_program(binary_name(), &defaults);
        let variable = |name: &str| std::env::var_os(name);
        match arguments::parse(&program, std::env::args_os(), &variable) {
            Ok(Request::Run(arguments)) => self.run_as(&program, *arguments, defaults),
            Ok(Request::Show(text)) => {
                // Nobody is there to be told when it cannot be shown.
                let _ = std::io::stdout().write_all(text.as_bytes());
                std::process::exit(0);
            }
            Err(error) => fail(&error, MISUSED),
        }
    }

    /// The application as the command line sees it.
    fn as_program(&self, binary: Option<String>, defaults: &Options) -> Program {
        let (sources, sinks) = self.connectors();
        Program {
            name: self.name().to_owned(),
            binary,
            sources,
            sinks,
            workers: defaults.workers,
        }
    }

    fn run_as(self, program: &Program, mut arguments: Arguments, defaults: Options) {
        let options = arguments.over(defaults);
        let options = options.unwrap_or_else(|error| fail(&error, MISUSED));
        log::install(&program.name, arguments.log);
        if let Err(error) = connectors::redirect(&self, program, &arguments.redirections) {
            fail(&error, MISUSED);
        }
        let result = Signals::watch(&program.name).and_then(|signals| {
            let clock = SystemClock::new();
            let began = clock.now();
            // Before the start, so that it stands before everything that the application itself says.
            if log::is_on() {
                let workers = counted(options.workers.get() as u64, "worker");
                say(&program.name, format_args!("starting on {workers}"));
            }
            let store = options.store.as_ref().map(|store| store.address.clone());
            let running = Arc::new(self.start(options)?);
            signals.started(&running);
            if let Some(address) = running.status_address()
                && log::is_on()
            {
                say(
                    &program.name,
                    format_args!("status at http://{address}/status"),
                );
            }
            if let Some((store, checkpoints)) = store.zip(running.checkpoints())
                && log::is_on()
            {
                let text = match checkpoints.resumed_from {
                    None => format!("keeps its state in the new store {store}"),
                    Some(epoch) => format!("goes on from epoch {epoch} of the store {store}"),
                };
                say(&program.name, format_args!("{text}"));
            }
            running.wait()?;
            let stopped = signals.ended();
            if log::is_on() {
                let seconds = clock.now().since(began).as_secs_f64();
                let text = summary(&running.status(), &program.sources, seconds, stopped);
                say(&program.name, format_args!("{text}"));
            }
            Ok(())
        });
        if let Err(error) = result {
            fail(&error, FAILED);
        }
    }
}

/// What a command line asks for that a host has got.
pub(crate) fn request(
    app: &App,
    line: Vec<OsString>,
    defaults: Options,
) -> Result<host::Request, Error> {
    let binary = line
        .first()
        .map(|binary| binary.to_string_lossy().into_owned());
    let program = app.as_program(binary, &defaults);
    let variable = |name: &str| std::env::var_os(name);
    match arguments::parse(&program, line, &variable)? {
        Request::Show(text) => Ok(host::Request::Show(text)),
        Request::Run(mut arguments) => {
            let options = arguments.over(defaults)?;
            connectors::redirect(app, &program, &arguments.redirections)?;
            Ok(host::Request::Run {
                options: Box::new(options),
                log: arguments.log,
            })
        }
    }
}

/// Says what an application that has ended did. `stopped`: because it was told to, not because its input had ended.
fn summary(status: &Status, sources: &[Named], seconds: f64, stopped: bool) -> String {
    let of_source = |(name, _): &Named| status.nodes.iter().find(|node| node.name == *name);
    let messages: u64 = sources
        .iter()
        .filter_map(of_source)
        .map(|node| node.messages_in)
        .sum();
    let dropped: u64 = status.nodes.iter().map(|node| node.dropped).sum();
    let workers = counted(status.workers as u64, "worker");
    let mut text = format!(
        "{}, {} in {seconds:.3} s on {workers}",
        if stopped { "stopped" } else { "done" },
        counted(messages, "message")
    );
    // The rate of an application that was stopped is that of its input.
    if !stopped && messages > 0 && seconds > 0.0 {
        text.push_str(&format!(
            " ({} per second)",
            grouped(rate(messages, seconds))
        ));
    }
    if dropped > 0 {
        text.push_str(&format!(
            "; {} failed and passed over",
            counted(dropped, "message")
        ));
    }
    text
}

/// Messages per second, of which two digits mean something.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn rate(messages: u64, seconds: f64) -> u64 {
    let rate = messages as f64 / seconds;
    let unit = 10f64.powf(rate.log10().floor() - 1.0).max(1.0);
    ((rate / unit).round() * unit) as u64
}

/// A number of things, in words.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(count))
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The name the program was called by.
fn binary_name() -> Option<String> {
    let path = std::env::args_os().next()?;
    let name = std::path::Path::new(&path).file_name()?;
    Some(name.to_string_lossy().into_owned())
}

/// Tells the person at the terminal something. What cannot be written is not missed.
fn say(application: &str, text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{application}: {text}");
}

/// Ends the process for a reason.
fn fail(error: &Error, code: i32) -> ! {
    let _ = writeln!(std::io::stderr(), "error: {error}");
    std::process::exit(code);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_two_digits() {
        let rates = [(12_154, 0.008), (999, 1.0), (3, 2.0), (1, 60.0)];
        let rates = rates.map(|(messages, seconds)| rate(messages, seconds));
        assert_eq!(rates, [1_500_000, 1_000, 2, 0]);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let numbers = [0, 999, 1_000, 12_154, 1_000_000].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "12,154", "1,000,000"]);
    }
}
