//! The command as people call it, against stores in directories.

mod page;
mod stores;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use stores::{Application, damage, object};
use wallaroo_store::input_log::{Disk, InputLog, Kind, SystemDisk};

/// What a call of the command said.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: i32,
    output: String,
    errors: String,
}

fn wallaroo(directory: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_wallaroo"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("can be started");
    Said {
        code: output.status.code().expect("it ends by itself"),
        output: String::from_utf8(output.stdout).expect("is UTF-8"),
        errors: String::from_utf8(output.stderr).expect("is UTF-8"),
    }
}

fn json_of(said: &Said) -> Value {
    assert_eq!(said.errors, "");
    serde_json::from_str(&said.output).expect("is JSON")
}

/// A directory with the store `stocks` of an application that runs.
fn running() -> (tempfile::TempDir, Application) {
    let directory = tempfile::tempdir().expect("a directory");
    let application = Application::running(&directory.path().join("stocks"));
    (directory, application)
}

/// All files and what is in them.
fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).expect("is there") {
        let path = entry.expect("is there").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).expect("is there");
            found.push((path.to_string_lossy().into_owned(), bytes));
        }
    }
    found.sort();
    found
}

fn get(directory: &Path, arguments: &[&str]) -> Said {
    let mut all = vec!["state", "get", "--store", "stocks"];
    all.extend(arguments);
    wallaroo(directory, &all)
}

#[test]
fn a_store_that_is_open_is_read_and_not_changed() {
    let (directory, application) = running();
    let before = files(&application.path);
    for arguments in [
        ["checkpoint", "list"],
        ["checkpoint", "verify"],
        ["checkpoint", "show"],
        ["checkpoint", "savepoints"],
        ["state", "list"],
    ] {
        for json in [&[][..], &["--json"]] {
            let mut all = vec![arguments[0], arguments[1], "--store", "stocks"];
            all.extend(json);
            let said = wallaroo(directory.path(), &all);
            assert_eq!((said.code, said.errors.as_str()), (0, ""), "{all:?}");
            assert!(!said.output.is_empty());
        }
    }
    assert_eq!(get(directory.path(), &["stocks", "IBM"]).code, 0);
    assert!(files(&application.path) == before, "something was changed");
}

#[test]
fn objects_are_found_by_keys_of_every_type() {
    let (directory, _application) = running();
    let cases = [
        (&["orders", "7"][..], json!(["seven", [1, 2]])),
        (&["orders", r#"["IBM",-7]"#], json!(null)),
        (&["orders", r#"{"bytes":"00ff"}"#], json!("bytes")),
        (&["total"], json!(2)),
        (&["total", ""], json!(2)),
        (
            &["stocks", "\"1\""],
            json!({"symbol": "1", "high": 1.0, "ticks": 1}),
        ),
        (
            &["stocks", "IBM"],
            json!({"symbol": "IBM", "high": 5.0, "ticks": 2}),
        ),
        (
            &["stocks", "IBM", "--checkpoint", "2"],
            json!({"symbol": "IBM", "high": 4.5, "ticks": 1}),
        ),
    ];
    for (arguments, expected) in cases {
        let said = get(directory.path(), arguments);
        assert_eq!(json_of(&said), expected, "{arguments:?}");
    }
}

#[test]
fn numbers_and_text_that_looks_like_them_are_two_keys() {
    let (directory, _application) = running();
    let said = get(directory.path(), &["stocks", "1"]);
    assert_eq!((said.code, said.output.as_str()), (1, ""));
    assert_eq!(
        said.errors,
        "error: WAL-0709: the store stocks has no object of key 1 in state \"stocks\" of commit 5; it has one of key \"1\": write '\"1\"'\n"
    );
    let said = get(directory.path(), &["orders", "\"7\""]);
    assert!(
        said.errors.ends_with("it has one of key 7: write 7\n"),
        "{said:?}"
    );
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let (directory, _application) = running();
    let cases = [
        (&["stocks", "AAPL"][..], "no object of key \"AAPL\""),
        (
            &["stock", "IBM"],
            "it has \"orders\", \"stocks\", \"total\"",
        ),
        // the name in segments of a state that was renamed, and a state that was dropped
        (&["sum"], "no state \"sum\" in commit 5"),
        (&["dropped", "IBM"], "no state \"dropped\" in commit 5"),
        (&["stocks", "IBM", "--checkpoint", "9"], "no commit 9"),
    ];
    for (arguments, expected) in cases {
        let said = get(directory.path(), arguments);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.errors.starts_with("error: WAL-0709: "), "{said:?}");
        assert!(said.errors.contains(expected), "{said:?}");
    }
    let said = wallaroo(
        directory.path(),
        &["checkpoint", "list", "--store", "stick"],
    );
    assert_eq!(said.code, 1);
    assert!(
        said.errors
            .starts_with("error: WAL-0709: the store stick has no"),
        "{said:?}"
    );
    assert!(!directory.path().join("stick").exists());
}

#[test]
fn a_store_without_a_checkpoint_is_no_error_to_list() {
    let directory = tempfile::tempdir().expect("a directory");
    let _application = Application::begin(&directory.path().join("stocks"));
    let said = wallaroo(
        directory.path(),
        &["checkpoint", "list", "--store", "stocks"],
    );
    assert_eq!(
        (said.code, said.output.as_str()),
        (0, "no checkpoint has been made yet\n")
    );
    let said = wallaroo(
        directory.path(),
        &["checkpoint", "verify", "--store", "stocks"],
    );
    assert_eq!(said.code, 0);
    let said = wallaroo(directory.path(), &["state", "list", "--store", "stocks"]);
    assert_eq!(said.code, 1);
    assert!(said.errors.starts_with("error: WAL-0709: "), "{said:?}");
}

#[test]
fn the_command_line_is_refused_with_its_code() {
    let (directory, _application) = running();
    let cases = [
        &["checkpoint", "list"][..],
        &["checkpoint", "show", "--store", "stocks", "five"],
        &["checkpoint", "lost", "--store", "stocks"],
        &["state", "get", "--store", "stocks"],
        &["state", "get", "--store", "stocks", "stocks", "[1"],
        &["state", "get", "--store", "stocks", "stocks", "[1.5,2]"],
    ];
    for arguments in cases {
        let said = wallaroo(directory.path(), arguments);
        assert_eq!((said.code, said.output.as_str()), (2, ""), "{said:?}");
        assert!(said.errors.starts_with("error: WAL-0201: "), "{said:?}");
    }
    assert_eq!(wallaroo(directory.path(), &[]).code, 2);
    assert_eq!(wallaroo(directory.path(), &["--help"]).code, 0);
}

#[test]
fn a_store_of_an_unknown_kind_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = wallaroo(
        directory.path(),
        &["state", "list", "--store", "ftp://somewhere"],
    );
    assert_eq!(said.code, 1);
    assert!(said.errors.starts_with("error: WAL-0701: "), "{said:?}");
}

/// What `verify` finds wrong: object, code, and commits that need it.
fn found_damage(directory: &Path, number: &[&str]) -> (i32, Vec<(String, String, Vec<u64>)>) {
    let mut arguments = vec!["checkpoint", "verify", "--store", "stocks", "--json"];
    arguments.extend(number);
    let said = wallaroo(directory, &arguments);
    let checked = json_of(&said);
    let checked = checked.as_array().expect("is a list");
    let damaged = checked.iter().filter(|found| !found["damage"].is_null());
    let text = |value: &Value| value.as_str().expect("is text").to_owned();
    let commits = |value: &Value| {
        let commits = value.as_array().expect("is a list").iter();
        commits
            .map(|number| number.as_u64().expect("is a number"))
            .collect()
    };
    let damaged = damaged.map(|found| {
        let code = text(&found["damage"]["code"]);
        (text(&found["object"]), code, commits(&found["commits"]))
    });
    (said.code, damaged.collect())
}

#[test]
fn damage_is_found_and_told_with_the_commits_that_need_it() {
    let (directory, application) = running();
    let of_epoch = |epoch: u64| format!("-{epoch:020}-");
    let second = object(&application.path, "data", &of_epoch(2));
    let name = second
        .file_name()
        .expect("has one")
        .to_string_lossy()
        .into_owned();
    damage(&second);
    let damaged = (format!("data/{name}"), "WAL-0702".to_owned(), vec![5, 4, 3]);
    assert_eq!(
        found_damage(directory.path(), &[]),
        (1, vec![damaged.clone()])
    );
    assert_eq!(found_damage(directory.path(), &["3"]), (1, vec![damaged]));
    // what is read is not what was written, and is not shown
    let said = get(directory.path(), &["stocks", "\"1\""]);
    assert_eq!((said.code, said.output.as_str()), (1, ""));
    assert!(said.errors.starts_with("error: WAL-0702: "), "{said:?}");

    fs::remove_file(&second).expect("is there");
    let (code, damaged) = found_damage(directory.path(), &[]);
    assert_eq!((code, damaged[0].1.as_str()), (1, "WAL-0703"));
}

#[test]
fn a_damaged_record_of_the_log_is_told() {
    let (directory, application) = running();
    damage(&application.path.join("log/00000000000000000003"));
    let said = wallaroo(
        directory.path(),
        &["checkpoint", "show", "--store", "stocks", "3"],
    );
    assert_eq!(said.code, 1);
    assert!(said.errors.starts_with("error: WAL-0702: "), "{said:?}");
    let (code, damaged) = found_damage(directory.path(), &[]);
    let record = "log/00000000000000000003".to_owned();
    assert_eq!(
        (code, damaged),
        (1, vec![(record, "WAL-0702".to_owned(), vec![])])
    );
}

/// What it names is whole, and another commit than it was made of: a start from it would be refused.
#[test]
fn a_savepoint_of_another_commit_is_told() {
    let (directory, application) = running();
    let name = "savepoints/monday.json";
    let path = application.path.join(name);
    let text = fs::read_to_string(&path).expect("is there");
    let changed = text.replace("\"number\": 3", "\"number\": 4");
    assert_ne!(text, changed);
    fs::write(&path, changed).expect("can be written");
    let found = (name.to_owned(), "WAL-0702".to_owned(), vec![4]);
    assert_eq!(found_damage(directory.path(), &[]), (1, vec![found]));
}

/// It ended the whole verification, which told nothing else.
#[test]
fn what_names_the_kept_commits_may_be_damaged_and_all_else_is_told() {
    let (directory, application) = running();
    let newest = "log/00000000000000000005";
    let savepoint = "savepoints/monday.json";
    let second = object(&application.path, "data", "-00000000000000000002-");
    let name = second.file_name().expect("has one").to_string_lossy();
    let segment = format!("data/{name}");
    damage(&second);
    let code = "WAL-0702".to_owned();
    for (object, needed_by) in [(savepoint, vec![5, 4, 3]), (newest, vec![4, 3])] {
        let path = application.path.join(object);
        let whole = fs::read(&path).expect("is there");
        damage(&path);
        let (exit, mut found) = found_damage(directory.path(), &[]);
        found.sort();
        let expected = vec![
            (segment.clone(), code.clone(), needed_by),
            (object.to_owned(), code.clone(), vec![]),
        ];
        assert_eq!((exit, found), (1, expected));
        fs::write(&path, whole).expect("can be written");
    }
}

/// It was left out: the list looked as if it had never been made.
#[test]
fn a_list_without_the_record_of_a_kept_commit_is_refused() {
    let (directory, application) = running();
    let record = "log/00000000000000000004";
    fs::remove_file(application.path.join(record)).expect("is there");
    let said = wallaroo(
        directory.path(),
        &["checkpoint", "list", "--store", "stocks"],
    );
    assert_eq!((said.code, said.output.as_str()), (1, ""));
    assert!(said.errors.starts_with("error: WAL-0703: "), "{said:?}");
    assert!(said.errors.contains(record), "{said:?}");
}

/// Of the records that are not trimmed, whether a kept commit needs them or not.
#[test]
fn a_deleted_record_of_the_log_is_told() {
    let (directory, application) = running();
    for (number, needed_by) in [(2, vec![]), (3, vec![3]), (4, vec![4])] {
        let record = format!("log/{number:020}");
        let path = application.path.join(&record);
        let bytes = fs::read(&path).expect("is there");
        fs::remove_file(&path).expect("is there");
        let found = (record, "WAL-0703".to_owned(), needed_by);
        assert_eq!(
            found_damage(directory.path(), &[]),
            (1, vec![found.clone()])
        );
        if number > 2 {
            let said = found_damage(directory.path(), &[&number.to_string()]);
            assert_eq!(said, (1, vec![found]));
        }
        fs::write(&path, bytes).expect("can be written");
    }
    assert_eq!(found_damage(directory.path(), &[]), (0, vec![]));
}

#[test]
fn a_commit_that_is_not_kept_is_no_damage() {
    let (directory, mut application) = running();
    application.start_over();
    for _ in 0..3 {
        application.commit(&[]);
    }
    application.collect_garbage();
    assert_eq!(found_damage(directory.path(), &[]), (0, vec![]));
    for command in ["verify", "show"] {
        let said = wallaroo(
            directory.path(),
            &["checkpoint", command, "--store", "stocks", "4"],
        );
        assert_eq!(said.code, i32::from(command == "verify"), "{said:?}");
    }
    let said = get(directory.path(), &["orders", "7", "--checkpoint", "4"]);
    assert!(
        said.errors
            .contains("WAL-0709: the store stocks has no kept commit 4"),
        "{said:?}"
    );
    // the savepoint keeps its own
    assert_eq!(
        get(directory.path(), &["stocks", "IBM", "--checkpoint", "3"]).code,
        0
    );
}

/// Writes blocks of two records each into an input log of the store, and gives its file with the lengths of the blocks.
fn logged(store: &Path, blocks: u64) -> (String, std::path::PathBuf, Vec<usize>) {
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let directory = store.join("input/orders/acknowledged");
    let mut log = InputLog::open(&disk, &directory, 1).expect("it can be made");
    let (mut lengths, mut sync) = (Vec::new(), None);
    for block in 0..blocks {
        for number in [2 * block + 1, 2 * block + 2] {
            let pushed = log.block().push(number, Kind::Message, |bytes| {
                bytes.extend_from_slice(&number.to_le_bytes());
                Ok::<(), ()>(())
            });
            pushed.expect("it is taken");
        }
        let before = files(&directory)
            .first()
            .map_or(0, |(_, bytes)| bytes.len());
        let begun = log.append().expect("there is room");
        sync = begun.or(sync);
        let file = sync.as_ref().expect("the first block begins a file");
        file.sync().expect("the disk takes it");
        lengths.push(files(&directory)[0].1.len() - before);
    }
    let (path, _) = files(&directory).remove(0);
    let name = "input/orders/acknowledged/00000000000000000001-0000.log".to_owned();
    (name, path.into(), lengths)
}

/// They were not looked at: what a start would not read was said to be whole.
#[test]
fn damage_of_an_input_log_is_told_and_a_torn_end_is_not_damage() {
    let (directory, application) = running();
    let (name, path, lengths) = logged(&application.path, 3);
    let whole = fs::read(&path).expect("is there");
    assert_eq!(found_damage(directory.path(), &[]), (0, vec![]));

    // Each bit of the first two blocks: the third says that they had been on the disk.
    for at in 0..lengths[0] + lengths[1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, bytes).expect("can be written");
        let found = (name.clone(), "WAL-0702".to_owned(), vec![]);
        assert_eq!(
            found_damage(directory.path(), &[]),
            (1, vec![found]),
            "byte {at}"
        );
    }
    // The last one may be torn at any place.
    let begin = lengths[0] + lengths[1];
    for end in [begin + 1, begin + 40, whole.len() - 1] {
        fs::write(&path, &whole[..end]).expect("can be written");
        let said = wallaroo(
            directory.path(),
            &["checkpoint", "verify", "--store", "stocks"],
        );
        assert_eq!((said.code, said.errors.as_str()), (0, ""));
        let torn = end - begin;
        let bytes = if torn == 1 { "byte" } else { "bytes" };
        let expected = format!(
            "torn: {name}\n  {torn} {bytes} at its end are of a write that was not completed"
        );
        assert!(said.output.contains(&expected), "{}", said.output);
        let said = wallaroo(
            directory.path(),
            &["checkpoint", "verify", "--store", "stocks", "--json"],
        );
        let checked = json_of(&said);
        let found = checked
            .as_array()
            .expect("is a list")
            .iter()
            .find(|found| found["object"] == name);
        assert_eq!(found.expect("it was looked at")["torn_bytes"], torn);
    }
    // Nothing is changed by looking.
    assert_eq!(fs::read(&path).expect("is there").len(), whole.len() - 1);
    // The logs are of no commit.
    assert_eq!(found_damage(directory.path(), &["3"]), (0, vec![]));
}
