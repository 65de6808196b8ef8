//! Every scenario gives what its file says, in Rust, with one worker and with several.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use wallaroo::testing::{Test, seeds};
use wallaroo::{DeadLetter, StoredKey};
use wallaroo_conformance::application::build;
use wallaroo_conformance::functions::Event;
use wallaroo_conformance::scenario::{self, Expected, Letter, Run, Scenario};
use wallaroo_conformance::states::{Account, Session, Total};

const PATIENCE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(1);
const WORKERS: [usize; 2] = [1, 2];

#[test]
fn scenarios_that_run_as_processes() {
    let mut count = 0;
    for (name, path) in scenario::all() {
        let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{error}"));
        for workers in WORKERS {
            let directory = tempfile::tempdir().expect("a directory can be made");
            for (number, run) in scenario.runs.iter().enumerate() {
                let what = format!("{name}, run {number}, {workers} workers");
                let arguments = [
                    path.to_string_lossy().into_owned(),
                    number.to_string(),
                    directory.path().to_string_lossy().into_owned(),
                    workers.to_string(),
                ];
                let ended = process(&what, &arguments, directory.path(), run);
                check_end(&what, &ended, &run.expect);
                let rows = |sink: &str| {
                    let text = fs::read_to_string(directory.path().join(format!("{sink}.jsonl")));
                    let lines = text.unwrap_or_default();
                    lines.lines().map(str::to_owned).collect::<Vec<_>>()
                };
                check(&what, &run.expect, rows);
                count += 1;
            }
        }
    }
    assert!(count > 20, "only {count} runs");
}

#[test]
fn scenarios_in_the_test_kit_with_a_crash_anywhere_or_none() {
    let mut count = 0;
    for (name, path) in scenario::all() {
        let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{error}"));
        if scenario.steps.is_empty() {
            continue;
        }
        let sent: usize = scenario
            .steps
            .iter()
            .flat_map(|step| step.send.values())
            .map(Vec::len)
            .sum();
        let crashes = || std::iter::once(None).chain((0..=sent).map(Some));
        for (workers, seed, crash) in WORKERS.into_iter().flat_map(|workers| {
            seeds(3).flat_map(move |seed| crashes().map(move |crash| (workers, seed, crash)))
        }) {
            let what = format!("{name}, {workers} workers, seed {seed}, crash after {crash:?}");
            let application = scenario.application_of(0).expect("it has an application");
            let app = build(application, Path::new("nowhere")).expect("it can be built");
            let mut test = Test::new(app).workers(workers).seed(seed);
            if let Some(messages) = crash {
                test = test.crash_after(messages);
            }
            for step in &scenario.steps {
                for (source, events) in &step.send {
                    let events = events.iter().map(|(key, value)| Event {
                        key: key.clone(),
                        value: *value,
                    });
                    test = test.send(source, events);
                }
                if let Some(seconds) = step.advance {
                    test = test.advance(Duration::from_secs(seconds));
                }
            }
            let results = test.run().unwrap_or_else(|error| panic!("{what}: {error}"));
            check(&what, &scenario.expect, |sink| {
                results.sink::<String>(sink).to_vec()
            });
            for (state, expected) in &scenario.expect.states {
                let objects = match application.states[state].class.as_str() {
                    "Total" => as_json(results.state::<Total>(state)),
                    "Account" => as_json(results.state::<Account>(state)),
                    _ => as_json(results.state::<Session>(state)),
                };
                assert_eq!(&objects, expected, "{what}: the state {state}");
            }
            count += 1;
        }
    }
    assert!(count > 100, "only {count} runs");
}

fn as_json<S: serde::Serialize>(objects: BTreeMap<StoredKey, S>) -> BTreeMap<String, Value> {
    let text = |key: &StoredKey| key.to_string().trim_matches('"').to_owned();
    let value = |object: &S| serde_json::to_value(object).expect("it is JSON");
    objects
        .iter()
        .map(|(key, object)| (text(key), value(object)))
        .collect()
}

/// Lets a run have its input, kills it as often as it says, and lets it come to its end.
fn process(what: &str, arguments: &[String], directory: &Path, run: &Run) -> Output {
    append(directory, run);
    let size = || -> u64 {
        let sinks = run.expect.counted.keys();
        let files = sinks.map(|sink| fs::metadata(directory.join(format!("{sink}.jsonl"))));
        files.filter_map(|file| Some(file.ok()?.len())).sum()
    };
    let mut killed = 0;
    for _ in 0..run.kills {
        let before = size();
        let mut child = start(arguments);
        let mut waited = Duration::ZERO;
        while size() == before && child.try_wait().expect("it can be waited for").is_none() {
            assert!(waited < PATIENCE, "{what}: nothing comes out");
            std::thread::park_timeout(STEP);
            waited += STEP;
        }
        assert!(size() >= before, "{what}: it began anew, or took rows back");
        child.kill().expect("it can be killed");
        let status = child.wait().expect("it ends");
        killed += u32::from(status.signal() == Some(9));
    }
    assert!(
        run.kills == 0 || killed > 0,
        "{what}: it ended before it could be killed"
    );
    start(arguments).wait_with_output().expect("it ends")
}

fn start(arguments: &[String]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_conformance"))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn append(directory: &Path, run: &Run) {
    let append = |source: &str, lines: Vec<String>| {
        let path = directory.join(format!("{source}.jsonl"));
        let file = OpenOptions::new().create(true).append(true).open(path);
        let text: String = lines
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect();
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("the input can be written");
    };
    let row = |key: &str, value: i64| format!(r#"{{"key":"{key}","value":{value}}}"#);
    for (source, messages) in &run.messages {
        let line = |message: &Value| match message {
            Value::String(text) => text.clone(),
            event => row(
                event[0].as_str().expect("a key is a text"),
                event[1].as_i64().expect("a value is a number"),
            ),
        };
        append(source, messages.iter().map(line).collect());
    }
    for (source, count) in &run.generate {
        let count = i64::try_from(*count).expect("a small number");
        append(
            source,
            (0..count).map(|n| row(&format!("k{}", n % 7), n)).collect(),
        );
    }
}

fn check_end(what: &str, ended: &Output, expected: &Expected) {
    let text = String::from_utf8_lossy(&ended.stderr);
    let Some(failure) = &expected.error else {
        assert!(ended.status.success(), "{what}: {text}");
        return;
    };
    assert_eq!(ended.status.code(), Some(1), "{what}: {text}");
    for part in failure.says.iter().chain([&failure.code]) {
        assert!(text.contains(part), "{what}: there is no {part} in: {text}");
    }
}

fn check(what: &str, expected: &Expected, rows: impl Fn(&str) -> Vec<String>) {
    for (sink, expected) in &expected.sinks {
        let expected = by_key(expected.iter().cloned());
        assert_eq!(
            by_key(events(rows(sink))),
            expected,
            "{what}: the sink {sink}"
        );
    }
    for (sink, expected) in &expected.counted {
        let counted = expected
            .iter()
            .map(|(key, count)| {
                (
                    key.clone(),
                    (1..=i64::try_from(*count).unwrap_or(0)).collect(),
                )
            })
            .collect();
        assert_eq!(
            by_key(events(rows(sink))),
            counted,
            "{what}: the sink {sink}"
        );
    }
    for (sink, expected) in &expected.letters {
        let mut letters: Vec<DeadLetter> = rows(sink)
            .iter()
            .map(|row| serde_json::from_str(row).expect("a dead letter"))
            .collect();
        letters.sort_by_key(|letter| letter.position);
        let is_same = letters.len() == expected.len()
            && letters
                .iter()
                .zip(expected)
                .all(|(letter, expected)| is_letter(letter, expected));
        assert!(is_same, "{what}: the sink {sink} has {letters:#?}");
    }
}

fn is_letter(letter: &DeadLetter, expected: &Letter) -> bool {
    letter.stage == expected.stage
        && letter.position == expected.position
        && letter.key == expected.key
        && letter.message == expected.message.as_bytes()
        && letter.error.contains(&expected.error)
}

fn events(rows: Vec<String>) -> impl Iterator<Item = (String, i64)> {
    rows.into_iter().map(|row| {
        let event: Event = serde_json::from_str(&row).expect("an event");
        (event.key, event.value)
    })
}

/// Events of different keys interleave freely.
fn by_key(events: impl Iterator<Item = (String, i64)>) -> BTreeMap<String, Vec<i64>> {
    let mut found = BTreeMap::<String, Vec<i64>>::new();
    for (key, value) in events {
        found.entry(key).or_default().push(value);
    }
    found
}
