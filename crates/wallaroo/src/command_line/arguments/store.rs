//! The options of the store, and what they make of the store that the program has in code.
//!
//! **Invariants.** What is to be done once (take over, go back, drop, rename, reset) is an option and never an environment
//! variable: those outlive the start they were meant for.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches};

use super::{Environment, id, misuse, single};
use crate::durable::StoreOptions;
use crate::error::Error;

/// The address that means: keep nothing, whatever the program says.
const NONE: &str = "none";
/// The shortest time between two checkpoints.
const SHORTEST: Duration = Duration::from_millis(1);
/// More checkpoints than that are a mistake: each is named by every later one.
const MAX_RETAIN: usize = 1000;
/// The options that act on a store, so that there must be one.
const ONCE: [&str; 8] = [
    "--from",
    "--savepoint",
    "--drop-savepoint",
    "--drop-state",
    "--rename-state",
    "--drop-source",
    "--drop-sink",
    "--reset-sink",
];

/// What the command line says of the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::command_line) struct StoreArguments {
    address: Option<String>,
    every: Option<Duration>,
    log_input_every: Option<Duration>,
    retain: Option<usize>,
    recoveries: Option<u32>,
    take_over: bool,
    from: Option<String>,
    savepoint: Option<String>,
    drop_savepoints: Vec<String>,
    drop_states: Vec<String>,
    rename_states: Vec<(String, String)>,
    drop_sources: Vec<String>,
    drop_sinks: Vec<String>,
    reset_sinks: Vec<String>,
    /// An option that means nothing without a store.
    needs_store: Option<&'static str>,
}

impl StoreArguments {
    pub(super) fn read(matches: &ArgMatches, variable: &Environment<'_>) -> Result<Self, Error> {
        let address = single("--store", "WALLAROO_STORE", matches, variable)?;
        let every = single(
            "--checkpoint-every",
            "WALLAROO_CHECKPOINT_EVERY",
            matches,
            variable,
        )?;
        let log_input_every = single(
            "--log-input-every",
            "WALLAROO_LOG_INPUT_EVERY",
            matches,
            variable,
        )?;
        let retain = single("--retain", "WALLAROO_RETAIN", matches, variable)?;
        let recoveries = single("--recoveries", "WALLAROO_RECOVERIES", matches, variable)?;
        let take_over = matches.get_flag(id("--take-over"));
        let needs_store = ONCE
            .into_iter()
            .find(|option| matches.contains_id(id(option)))
            .or_else(|| take_over.then_some("--take-over"));
        let all = |option| {
            let given = matches.get_many::<String>(id(option));
            given.into_iter().flatten().cloned().collect::<Vec<_>>()
        };
        let one = |option| matches.get_one::<String>(id(option)).cloned();
        let renames = all("--rename-state");
        Ok(StoreArguments {
            address: address.map(|(_, text)| text),
            every: every.map(|(by, text)| every_of(by, &text)).transpose()?,
            log_input_every: log_input_every
                .map(|(by, text)| every_of(by, &text))
                .transpose()?,
            retain: retain.map(|(by, text)| retain_of(by, &text)).transpose()?,
            recoveries: recoveries
                .map(|(by, text)| recoveries_of(by, &text))
                .transpose()?,
            take_over,
            from: one("--from"),
            savepoint: one("--savepoint"),
            drop_savepoints: all("--drop-savepoint"),
            drop_states: all("--drop-state"),
            rename_states: renames
                .iter()
                .map(|text| rename_of(text))
                .collect::<Result<_, _>>()?,
            drop_sources: all("--drop-source"),
            drop_sinks: all("--drop-sink"),
            reset_sinks: all("--reset-sink"),
            needs_store,
        })
    }

    /// The store to run with, where the program has `default` in code.
    pub(in crate::command_line) fn over(
        self,
        default: Option<StoreOptions>,
    ) -> Result<Option<StoreOptions>, Error> {
        let store = match (self.address.as_deref(), default) {
            (Some(NONE), _) => None,
            (Some(address), Some(default)) => Some(StoreOptions {
                address: address.to_owned(),
                ..default
            }),
            (Some(address), None) => Some(StoreOptions::new(address)),
            (None, default) => default,
        };
        let Some(mut store) = store else {
            return match self.needs_store {
                None => Ok(None),
                Some(option) => Err(misuse(format!(
                    "{option} needs a store, and the application has none; give its address with --store"
                ))),
            };
        };
        store.every = self.every.or(store.every);
        store.log_input_every = self.log_input_every.unwrap_or(store.log_input_every);
        store.retain = self.retain.unwrap_or(store.retain);
        store.recoveries = self.recoveries.unwrap_or(store.recoveries);
        store.take_over |= self.take_over;
        store.from = self.from.or(store.from);
        store.savepoint = self.savepoint.or(store.savepoint);
        store.drop_savepoints.extend(self.drop_savepoints);
        store.drop_states.extend(self.drop_states);
        store.rename_states.extend(self.rename_states);
        store.drop_sources.extend(self.drop_sources);
        store.drop_sinks.extend(self.drop_sinks);
        store.reset_sinks.extend(self.reset_sinks);
        Ok(Some(store))
    }
}

/// The options, for the help.
pub(super) fn options() -> Vec<Arg> {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        let option = Arg::new(id(name)).long(id(name)).value_name(value);
        option.help(help).help_heading("Store")
    };
    let repeated = |name, value, help| option(name, value, help).action(ArgAction::Append);
    vec![
        option(
            "--store",
            "ADDRESS",
            "Keep checkpoints in this directory or s3://BUCKET/PREFIX, and go on from there; \"none\" for no store",
        ),
        option(
            "--checkpoint-every",
            "TIME",
            "Time between two checkpoints, like 200ms, 5s, 1m [default: 1s; s3: 10s]",
        ),
        option(
            "--log-input-every",
            "TIME",
            "In S3: time between two objects of the input log, by which messages of TCP sources are late [default: 200ms]",
        ),
        option(
            "--retain",
            "N",
            "Checkpoints to keep, beside savepoints [default: 3]",
        ),
        option(
            "--recoveries",
            "N",
            "How often in a row to go back to the last commit when a source or sink fails [default: 5]",
        ),
        option(
            "--savepoint",
            "NAME",
            "Keep the checkpoint that this start goes on from under NAME",
        ),
        option(
            "--from",
            "NAME|N",
            "Go back to the savepoint NAME, or to commit N",
        ),
        option(
            "--take-over",
            "",
            "Take the store from a process that cannot be stopped",
        )
        .action(ArgAction::SetTrue),
        repeated("--drop-savepoint", "NAME", "Delete the savepoint NAME"),
        repeated(
            "--drop-state",
            "NAME",
            "Give up all objects of the state NAME",
        ),
        repeated(
            "--rename-state",
            "OLD=NEW",
            "Give the objects of the state OLD to the state NEW",
        ),
        repeated(
            "--drop-source",
            "NAME",
            "Give up where the source NAME stood",
        ),
        repeated(
            "--drop-sink",
            "NAME",
            "Give up what is kept of the sink NAME",
        ),
        repeated(
            "--reset-sink",
            "NAME",
            "Cut the output of the sink NAME back to the checkpoint",
        ),
    ]
}

fn every_of(given_by: &str, text: &str) -> Result<Duration, Error> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => Some(Duration::from_millis(1)),
        "s" => Some(Duration::from_secs(1)),
        "m" => Some(Duration::from_secs(60)),
        "h" => Some(Duration::from_secs(3600)),
        _ => None,
    };
    let number = number.parse::<u32>().ok();
    let every = unit
        .zip(number)
        .and_then(|(unit, number)| unit.checked_mul(number));
    every.filter(|every| *every >= SHORTEST).ok_or_else(|| {
        misuse(format!(
            "{given_by} is {text:?}: expected a time of at least 1ms, as a whole number with ms, s, m or h, like 200ms or 5s"
        ))
    })
}

fn retain_of(given_by: &str, text: &str) -> Result<usize, Error> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=MAX_RETAIN).contains(number))
        .ok_or_else(|| {
            misuse(format!(
                "{given_by} is {text:?}: expected a number from 1 to {MAX_RETAIN}"
            ))
        })
}

fn recoveries_of(given_by: &str, text: &str) -> Result<u32, Error> {
    text.parse().map_err(|_| {
        misuse(format!(
            "{given_by} is {text:?}: expected a number; 0 to end with the first failure"
        ))
    })
}

fn rename_of(text: &str) -> Result<(String, String), Error> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => {
            Ok((old.to_owned(), new.to_owned()))
        }
        _ => Err(misuse(format!(
            "--rename-state is {text:?}: expected OLD=NEW, the name in the store and the name in the application"
        ))),
    }
}
