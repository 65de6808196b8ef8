//! `wallaroo checkpoint …`.
//!
//! **Invariants.** The names of fields in JSON are those of docs/formats.md where there is one.

use std::fmt::Write as _;

use serde::Serialize;
use wallaroo_store::Commit;
use wallaroo_store::inspect::{Listed, Verified};
use wallaroo_store::lock::utc;
use wallaroo_store::savepoint::Savepoint;

use crate::answer::{Answer, Failure, code, pretty};
use crate::arguments::Store;
use crate::look::Look;
use crate::table::Table;

/// A commit in a list.
#[derive(Serialize)]
struct Row<'a> {
    number: u64,
    epoch: u64,
    time_ms: u64,
    generation: u64,
    objects: u64,
    bytes: u64,
    kept: bool,
    savepoints: &'a [String],
}

impl<'a> From<&'a Listed> for Row<'a> {
    fn from(listed: &'a Listed) -> Self {
        Row {
            number: listed.number,
            epoch: listed.epoch,
            time_ms: listed.time_ms,
            generation: listed.generation,
            objects: listed.objects,
            bytes: listed.bytes,
            kept: listed.is_kept,
            savepoints: &listed.savepoints,
        }
    }
}

/// `checkpoint list`
pub(crate) fn list(store: &Store) -> Result<Answer, Failure> {
    let commits = Look::into(&store.address)?.inspector.commits()?;
    let mut table = Table::new([
        "NUMBER",
        "EPOCH",
        "MADE",
        "GENERATION",
        "OBJECTS",
        "BYTES",
        "KEPT",
        "SAVEPOINTS",
    ]);
    for listed in &commits {
        table.row([
            listed.number.into(),
            listed.epoch.into(),
            made(listed.time_ms).into(),
            listed.generation.into(),
            listed.objects.into(),
            listed.bytes.into(),
            yes_or_no(listed.is_kept).into(),
            listed.savepoints.join(", ").into(),
        ]);
    }
    let text = match table.is_empty() {
        true => "no checkpoint has been made yet\n".to_owned(),
        false => table.to_string(),
    };
    let rows: Vec<Row<'_>> = commits.iter().map(Row::from).collect();
    Ok(Answer::new(text, &rows))
}

/// What was found of an object.
#[derive(Serialize)]
struct Checked<'a> {
    object: &'a str,
    bytes: u64,
    commits: &'a [u64],
    torn_bytes: u64,
    damage: Option<Damage>,
}

#[derive(Serialize)]
struct Damage {
    code: String,
    message: String,
}

impl<'a> From<&'a Verified> for Checked<'a> {
    fn from(found: &'a Verified) -> Self {
        Checked {
            object: &found.object,
            bytes: found.bytes,
            commits: &found.commits,
            torn_bytes: found.torn,
            damage: found.result.as_ref().err().map(|error| Damage {
                code: code(error),
                message: error.to_string(),
            }),
        }
    }
}

/// `checkpoint verify`
pub(crate) fn verify(store: &Store, number: Option<u64>) -> Result<Answer, Failure> {
    let verified = Look::into(&store.address)?.verify(number)?;
    let checked: Vec<Checked<'_>> = verified.iter().map(Checked::from).collect();
    let mut text = String::new();
    for found in &checked {
        let Some(damage) = &found.damage else {
            if found.torn_bytes > 0 {
                let torn = counted(found.torn_bytes, "byte");
                let _ = writeln!(
                    text,
                    "torn: {}\n  {torn} at its end are of a write that was not completed, and never acknowledged; the next start cuts them off",
                    found.object
                );
            }
            continue;
        };
        let needed = match found.commits {
            [] => String::new(),
            commits => format!(", needed by {}", numbered(commits)),
        };
        let _ = writeln!(
            text,
            "damaged: {}{needed}\n  {}: {}",
            found.object, damage.code, damage.message
        );
    }
    let damaged = checked
        .iter()
        .filter(|found| found.damage.is_some())
        .count();
    let objects = counted(checked.len() as u64, "object");
    let _ = match damaged {
        0 => writeln!(text, "{objects}: all as they were written"),
        damaged => writeln!(text, "{objects}: {damaged} damaged"),
    };
    Ok(Answer {
        text,
        json: pretty(&checked),
        has_damage: damaged > 0,
    })
}

#[derive(Serialize)]
struct Shown<'a> {
    application: &'a str,
    number: u64,
    kept: bool,
    #[serde(flatten)]
    commit: &'a Commit,
}

/// `checkpoint show`
pub(crate) fn show(store: &Store, number: Option<u64>) -> Result<Answer, Failure> {
    let look = Look::into(&store.address)?;
    let (number, commit) = look.inspector.commit(number)?;
    let shown = Shown {
        application: &look.inspector.application().application,
        number,
        kept: look.kept()?.contains(&number),
        commit: &commit,
    };
    Ok(Answer::new(text_of(&shown), &shown))
}

fn text_of(shown: &Shown<'_>) -> String {
    let commit = shown.commit;
    let follows = commit
        .parent
        .map_or_else(|| "no commit".to_owned(), |parent| numbered(&[parent]));
    let facts = [
        ("commit", shown.number.to_string()),
        ("application", format!("{:?}", shown.application)),
        ("epoch", commit.epoch.to_string()),
        (
            "made",
            format!(
                "{}, by generation {}",
                made(commit.time_ms),
                commit.generation
            ),
        ),
        ("follows", follows),
        ("kept", yes_or_no(shown.kept).to_owned()),
        (
            "size",
            format!(
                "{} in {}",
                counted(commit.bytes(), "byte"),
                counted(commit.objects().count() as u64, "object")
            ),
        ),
    ];
    let mut text = String::new();
    for (name, fact) in facts {
        let _ = writeln!(text, "{name:12} {fact}");
    }
    let mut segments = Table::new(["SEGMENT", "EPOCHS", "OBJECTS", "TOMBSTONES", "BYTES"]);
    for segment in &commit.segments {
        segments.row([
            segment.name.as_str().into(),
            format!("{}-{}", segment.first_epoch, segment.last_epoch).into(),
            segment.objects.into(),
            segment.tombstones.into(),
            segment.bytes.into(),
        ]);
    }
    let mut outboxes = Table::new(["OUTBOX", "EPOCH", "BYTES"]);
    for outbox in &commit.outboxes {
        outboxes.row([
            outbox.name.as_str().into(),
            outbox.epoch.into(),
            outbox.bytes.into(),
        ]);
    }
    let mut positions = Table::new(["SOURCE", "PARTITION", "NEXT RECORD", "POSITION", "ENDED"]);
    for position in &commit.positions {
        positions.row([
            position.source.as_str().into(),
            position.partition.as_str().into(),
            position.next_number.into(),
            position.position.to_string().into(),
            yes_or_no(position.ended).into(),
        ]);
    }
    let mut sinks = Table::new(["SINK", "PUBLISHED EPOCH", "RECORDED"]);
    for sink in &commit.sinks {
        sinks.row([
            sink.sink.as_str().into(),
            sink.published_epoch.into(),
            sink.state.to_string().into(),
        ]);
    }
    let mut states = Table::new(["STATE", "KEY", "OBJECT"]);
    for state in &commit.plan.states {
        states.row([
            state.name.as_str().into(),
            state.key_type.as_deref().unwrap_or("none").into(),
            state.object_type.as_str().into(),
        ]);
    }
    let tables = [
        (segments.is_empty(), segments.to_string()),
        (outboxes.is_empty(), outboxes.to_string()),
        (positions.is_empty(), positions.to_string()),
        (sinks.is_empty(), sinks.to_string()),
        (states.is_empty(), states.to_string()),
    ];
    for (_, table) in tables.iter().filter(|(is_empty, _)| !is_empty) {
        text.push('\n');
        text.push_str(table);
    }
    text
}

/// `checkpoint savepoints`
pub(crate) fn savepoints(store: &Store) -> Result<Answer, Failure> {
    let look = Look::into(&store.address)?;
    let savepoints = Savepoint::list(&*look.storage.0)?;
    let mut table = Table::new(["NAME", "NUMBER", "MADE"]);
    for savepoint in &savepoints {
        table.row([
            savepoint.name.as_str().into(),
            savepoint.number.into(),
            made(savepoint.time_ms).into(),
        ]);
    }
    let text = match table.is_empty() {
        true => "no savepoint\n".to_owned(),
        false => table.to_string(),
    };
    Ok(Answer::new(text, &savepoints))
}

fn made(time_ms: u64) -> String {
    utc(time_ms / 1000)
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn numbered(commits: &[u64]) -> String {
    let numbers: Vec<String> = commits.iter().map(u64::to_string).collect();
    match commits {
        [_] => format!("commit {}", numbers.concat()),
        _ => format!("commits {}", numbers.join(", ")),
    }
}

fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}
