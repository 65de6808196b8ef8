//! Options: from the command line, and from the environment where that says nothing.
//!
//! **Invariants.** Everything that is wrong with an option by itself is found here, before anything runs. Names of
//! sources and sinks are checked later, by [`connectors`](super::connectors).

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use clap::error::{ContextKind, ContextValue, ErrorKind as Misuse};
use clap::{Arg, ArgAction, ArgMatches, Command};
use tracing_subscriber::filter::Targets;
use wallaroo_core::Code;

use self::store::StoreArguments;
use super::log;
use crate::app::{Named, Options};
use crate::error::{Error, ErrorKind};

mod store;

#[cfg(test)]
mod tests;

/// More workers than that are a mistake: there are 1,024 key groups to divide among them.
const MAX_WORKERS: usize = 1024;
/// The part of the help that is the same for all applications.
const ADDRESSES: &str = "\
Addresses:
  PATH, file://PATH              a file
  HOST:PORT, tcp://HOST:PORT     a port that a source listens on, or that a sink connects to
  stdout:, discard:              for sinks

Environment, where the command line says nothing:
  WALLAROO_WORKERS, WALLAROO_LOG, WALLAROO_STATUS, WALLAROO_MEMORY_LIMIT, WALLAROO_STORE,
  WALLAROO_CHECKPOINT_EVERY, WALLAROO_LOG_INPUT_EVERY, WALLAROO_RETAIN, WALLAROO_RECOVERIES,
  and with commas between several WALLAROO_IN, WALLAROO_OUT";

/// What the command line knows of the application.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) binary: Option<String>,
    pub(super) sources: Vec<Named>,
    pub(super) sinks: Vec<Named>,
    /// The number of workers where neither command line nor environment say one.
    pub(super) workers: NonZeroUsize,
}

/// Reads an environment variable.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// What the person at the command line wants.
#[derive(Debug)]
pub(super) enum Request {
    /// To run the application.
    Run(Box<Arguments>),
    /// To read this.
    Show(String),
}

/// How to run.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) workers: NonZeroUsize,
    pub(super) redirections: Vec<Redirection>,
    pub(super) log: Targets,
    status: Option<SocketAddr>,
    memory_limit: Option<u64>,
    store: StoreArguments,
}

impl Arguments {
    /// How to run, where the program itself has said `defaults`.
    pub(super) fn over(&mut self, defaults: Options) -> Result<Options, Error> {
        Ok(Options {
            workers: self.workers,
            status: self.status.or(defaults.status),
            memory_limit: self.memory_limit.or(defaults.memory_limit),
            store: std::mem::take(&mut self.store).over(defaults.store)?,
            ..defaults
        })
    }
}

/// A source or sink that shall use another address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirection {
    pub(super) side: Side,
    /// The option or environment variable.
    pub(super) given_by: &'static str,
    pub(super) name: String,
    pub(super) address: String,
}

/// A source or a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    In,
    Out,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::In => Side::Out,
            Side::Out => Side::In,
        }
    }

    pub(super) fn option(self) -> &'static str {
        match self {
            Side::In => "--in",
            Side::Out => "--out",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Side::In => "WALLAROO_IN",
            Side::Out => "WALLAROO_OUT",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::In => "source",
            Side::Out => "sink",
        })
    }
}

/// Reads the command line `arguments`, the first of which is the program, and environment variables through
/// `variable`.
pub(super) fn parse(
    program: &Program,
    arguments: impl IntoIterator<Item = OsString>,
    variable: &Environment<'_>,
) -> Result<Request, Error> {
    let matches = match command(program).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if error.kind() == Misuse::DisplayHelp => {
            return Ok(Request::Show(format!("{}\n", error.to_string().trim_end())));
        }
        Err(error) => return Err(misuse(misuse_text(&error))),
    };
    if matches.get_flag("version") {
        let text = format!(
            "{} (wallaroo {})\n",
            program.name,
            env!("CARGO_PKG_VERSION")
        );
        return Ok(Request::Show(text));
    }
    let workers = match single("--workers", "WALLAROO_WORKERS", &matches, variable)? {
        Some((given_by, text)) => workers(given_by, &text)?,
        None => program.workers,
    };
    let log = match single("--log", "WALLAROO_LOG", &matches, variable)? {
        Some((given_by, text)) => log::filter(&text).ok_or_else(|| {
            misuse(format!("{given_by} is {text:?}: expected a level (off, error, warn, info, debug, trace), or several by module like \"info,wallaroo=debug\""))
        })?,
        None => log::filter(log::DEFAULT_LEVEL).expect("the default is a level"),
    };
    let status = single("--status", "WALLAROO_STATUS", &matches, variable)?;
    let status = status.map(|(given_by, text)| status_of(given_by, &text));
    let memory = single(
        "--memory-limit",
        "WALLAROO_MEMORY_LIMIT",
        &matches,
        variable,
    )?;
    let memory_limit = memory.map(|(given_by, text)| memory_of(given_by, &text));
    let mut redirections = redirections(Side::In, &matches, variable)?;
    redirections.extend(self::redirections(Side::Out, &matches, variable)?);
    Ok(Request::Run(Box::new(Arguments {
        workers,
        redirections,
        log,
        status: status.transpose()?,
        memory_limit: memory_limit.transpose()?,
        store: StoreArguments::read(&matches, variable)?,
    })))
}

fn status_of(given_by: &str, text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| {
        misuse(format!(
            "{given_by} is {text:?}: expected an address of this machine and a port, like 127.0.0.1:7080 or [::1]:7080"
        ))
    })
}

fn memory_of(given_by: &str, text: &str) -> Result<u64, Error> {
    if text == "auto" {
        // A tenth is left to what the system counts beside the process.
        let available = crate::memory::available().map(|bytes| bytes / 10 * 9);
        return available.ok_or_else(|| {
            misuse(format!("{given_by} is \"auto\", and this system does not tell how much memory there is; give a size like 2GiB"))
        });
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        _ => None,
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0);
    let bytes = number
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| {
        misuse(format!(
            "{given_by} is {text:?}: expected a whole number with KiB, MiB or GiB, like 2GiB, or \"auto\""
        ))
    })
}

/// What is wrong with the command line, in one line.
fn misuse_text(error: &clap::Error) -> String {
    let named = |context| match error.get(context) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let all = "--help lists all options";
    let argument = named(ContextKind::InvalidArg).unwrap_or_default();
    match (error.kind(), named(ContextKind::SuggestedArg)) {
        (Misuse::UnknownArgument, Some(meant)) => {
            format!("{argument:?} is not an option; did you mean {meant}? {all}")
        }
        (Misuse::UnknownArgument, None) => format!("{argument:?} is not an option; {all}"),
        (_, _) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{}; {all}", first.strip_prefix("error: ").unwrap_or(first))
        }
    }
}

/// The options as clap knows them. Values are read here and not by clap, so that errors of command line and
/// environment are the same.
fn command(program: &Program) -> Command {
    let binary = program.binary.as_ref().unwrap_or(&program.name);
    let redirection = |side: Side, help: String| {
        Arg::new(id(side.option()))
            .long(id(side.option()))
            .value_name("NAME=ADDRESS")
            .action(ArgAction::Append)
            .help(help)
    };
    Command::new("wallaroo")
        .bin_name(binary)
        .display_name(&program.name)
        .override_usage(format!("{binary} [OPTIONS]"))
        .about(format!("{:?}, a Wallaroo application", program.name))
        .disable_version_flag(true)
        .arg(
            Arg::new("workers")
                .long("workers")
                .value_name("N|auto")
                .help(format!(
                    "Workers that run in parallel: a number, or \"auto\" for one per core [default: {}]",
                    program.workers
                )),
        )
        .arg(redirection(Side::In, "Read the source NAME from ADDRESS instead; may be repeated".to_owned()))
        .arg(redirection(Side::Out, "Write the sink NAME to ADDRESS instead; may be repeated".to_owned()))
        .arg(
            Arg::new("status")
                .long("status")
                .value_name("ADDRESS")
                .help("Serve /health, /status and /metrics at this address of this machine, like 127.0.0.1:7080"),
        )
        .arg(
            Arg::new("memory-limit")
                .long("memory-limit")
                .value_name("SIZE|auto")
                .help("Memory that the process may occupy, like 2GiB; \"auto\" for nine tenths of what there is [default: no limit]"),
        )
        .arg(
            Arg::new("log")
                .long("log")
                .value_name("LEVEL")
                .help("off, error, warn, info, debug, trace; by module: info,wallaroo=debug [default: info]"),
        )
        .arg(
            Arg::new("version")
                .long("version")
                .action(ArgAction::SetTrue)
                .help("Print the version of Wallaroo"),
        )
        .args(store::options())
        .after_help(after_help(program, binary))
}

/// The application's own part of the help.
fn after_help(program: &Program, binary: &str) -> String {
    let (sources, sinks) = (redirectable(&program.sources), redirectable(&program.sinks));
    let mut text = format!(
        "Sources, for --in:{}\n\nSinks, for --out:{}\n\n{ADDRESSES}\n\nExamples:\n  {binary} --workers auto",
        list(&sources),
        list(&sinks)
    );
    if let Some((source, _)) = sources.first() {
        text.push_str(&format!("\n  {binary} --in {source}=tcp://127.0.0.1:7010"));
    }
    if let Some((sink, _)) = sinks.first() {
        text.push_str(&format!("\n  {binary} --out {sink}=./{sink}.txt"));
    }
    text
}

/// Those that can have another address, with the one they have.
fn redirectable(all: &[Named]) -> Vec<(&str, &str)> {
    all.iter()
        .filter_map(|(name, address)| Some((name.as_str(), address.as_deref()?)))
        .collect()
}

/// Names and addresses, one below the other.
fn list(named: &[(&str, &str)]) -> String {
    if named.is_empty() {
        return " none".to_owned();
    }
    let width = named.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    let lines = named
        .iter()
        .map(|(name, address)| format!("\n  {name:width$}  {address}"));
    lines.collect()
}

/// What stands in the environment; an empty value is none.
fn from_environment(
    name: &'static str,
    variable: &Environment<'_>,
) -> Result<Option<String>, Error> {
    match variable(name).filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => value
            .into_string()
            .map(Some)
            .map_err(|value| misuse(format!("{name} is {value:?}: expected UTF-8 text"))),
    }
}

/// The value of an option that is given at most once, and where it was given.
fn single(
    option: &'static str,
    name: &'static str,
    matches: &ArgMatches,
    variable: &Environment<'_>,
) -> Result<Option<(&'static str, String)>, Error> {
    match matches.get_one::<String>(id(option)) {
        Some(text) => Ok(Some((option, text.clone()))),
        None => Ok(from_environment(name, variable)?.map(|text| (name, text))),
    }
}

/// What clap calls an option.
fn id(option: &'static str) -> &'static str {
    option.trim_start_matches('-')
}

fn workers(given_by: &str, text: &str) -> Result<NonZeroUsize, Error> {
    if text == "auto" {
        return Ok(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    }
    text.parse()
        .ok()
        .filter(|workers: &NonZeroUsize| workers.get() <= MAX_WORKERS)
        .ok_or_else(|| {
            misuse(format!(
                "{given_by} is {text:?}: expected a number from 1 to {MAX_WORKERS}, or \"auto\" for one per core"
            ))
        })
}

/// Redirections of one side. Those of the command line come after those of the environment, and win.
fn redirections(
    side: Side,
    matches: &ArgMatches,
    variable: &Environment<'_>,
) -> Result<Vec<Redirection>, Error> {
    let mut all = Vec::new();
    let listed = from_environment(side.variable(), variable)?.unwrap_or_default();
    for text in listed
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        all.push(redirection(side, side.variable(), text)?);
    }
    for text in matches
        .get_many::<String>(id(side.option()))
        .into_iter()
        .flatten()
    {
        let given = redirection(side, side.option(), text)?;
        all.retain(|other: &Redirection| {
            other.given_by == given.given_by || other.name != given.name
        });
        all.push(given);
    }
    for (index, one) in all.iter().enumerate() {
        if all[..index].iter().any(|other| other.name == one.name) {
            return Err(misuse(format!(
                "{} gives {side} {:?} two addresses; give it one",
                one.given_by, one.name
            )));
        }
    }
    Ok(all)
}

/// The address behind a `@`: that of a port, even if the port is missing, and never of a file.
fn of_port(at: &str) -> String {
    if at.contains("://") {
        at.to_owned()
    } else {
        format!("tcp://{at}")
    }
}

/// Reads `NAME=ADDRESS`, or `NAME@HOST:PORT`.
fn redirection(side: Side, given_by: &'static str, text: &str) -> Result<Redirection, Error> {
    // No name has a `=` in it, and no HOST:PORT.
    let written = text.split_once('=');
    let written = written.map(|(name, address)| (name, address.to_owned()));
    let short = || text.split_once('@').map(|(name, at)| (name, of_port(at)));
    match written.or_else(short) {
        Some((name, address)) if !name.is_empty() => Ok(Redirection {
            side,
            given_by,
            name: name.to_owned(),
            address,
        }),
        _ => Err(misuse_of_address(format!(
            "{given_by} is {text:?}: expected NAME=ADDRESS, where NAME is a {side} of the application; for example {}",
            match side {
                Side::In => "ticks=tcp://127.0.0.1:7010 or ticks=./ticks.csv",
                Side::Out => "alerts=tcp://127.0.0.1:7002 or alerts=./alerts.txt",
            }
        ))),
    }
}

fn misuse(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, Code::Option, text)
}

fn misuse_of_address(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, Code::Address, text)
}
