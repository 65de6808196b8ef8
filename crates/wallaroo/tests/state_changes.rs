//! Programs that change while their store stays: what is read, what is refused, and what the user can allow.
//!
//! Each test is a sequence of starts on one store. Every start reads the messages that the one before has not.

#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::path::Path;

use serde::{Deserialize, Serialize};
use wallaroo::{
    App, Code, Error, KeyGroupCount, Options, State, StateObject, StoreOptions, file_sink, iter,
    memory, source,
};

/// A message: who, and how much.
type Order = (String, u64);

fn orders(count: u64) -> Vec<Order> {
    let orders = (1..=count).map(|amount| (["ann", "bob"][amount as usize % 2].to_owned(), amount));
    orders.collect()
}

fn store(directory: &Path) -> StoreOptions {
    StoreOptions::new(directory.join("store").to_string_lossy())
}

fn options(store: StoreOptions) -> Options {
    Options {
        store: Some(store),
        ..Options::default()
    }
}

/// Runs a program whose state `name` has objects of type `S`, until `count` messages have been read since the beginning.
/// Returns what `on_order` made of those that are new.
fn run<S: StateObject>(
    store: StoreOptions,
    name: &str,
    count: u64,
    on_order: fn(&mut S, &Order) -> String,
) -> Result<Vec<String>, Error> {
    let (seen, state) = (memory::<String>(), State::<S>::new(name));
    App::new("shop")
        .add(
            source("orders", iter(orders(count)))
                .key_by(|order: &Order| &order.0)
                .to_state(&state, move |object: &mut S, order: &Order| {
                    Some(on_order(object, order))
                })
                .to_sink("seen", seen.clone()),
        )
        .run(options(store))?;
    Ok(seen.take())
}

/// The first version of the objects.
#[derive(Default, Serialize, Deserialize)]
struct Total {
    count: u32,
    sum: u64,
    last: String,
}

fn total(object: &mut Total, (who, amount): &Order) -> String {
    object.count += 1;
    object.sum += amount;
    object.last = format!("{who} {amount}");
    format!("{who} {} {}", object.count, object.sum)
}

/// A store in which the first version has handled four messages.
fn made(directory: &Path) -> StoreOptions {
    let store = store(directory);
    let seen = run(store.clone(), "totals", 4, total);
    assert_eq!(seen.unwrap(), ["bob 1 1", "ann 1 2", "bob 2 4", "ann 2 6"]);
    store
}

/// The first version goes on: nothing of the store has changed meanwhile.
fn old_program_goes_on(store: StoreOptions) {
    assert_eq!(run(store, "totals", 5, total).unwrap(), ["bob 3 9"]);
}

fn assert_refused(result: Result<Vec<String>, Error>, code: Code, parts: &[&str]) {
    let error = result.expect_err("it is refused");
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_field_that_is_added_has_its_default() {
    #[derive(Default, Serialize, Deserialize)]
    struct Added {
        count: u32,
        sum: u64,
        last: String,
        #[serde(default)]
        largest: u64,
        note: Option<String>,
    }
    let directory = tempfile::tempdir().unwrap();
    let on_order = |object: &mut Added, order: &Order| {
        object.largest = object.largest.max(order.1);
        let Added {
            sum, last, note, ..
        } = object;
        format!("{last}, {sum}, {note:?}, {}", object.largest)
    };
    assert_eq!(
        run(made(directory.path()), "totals", 5, on_order).unwrap(),
        ["bob 3, 4, None, 5"]
    );
}

#[test]
fn fields_may_be_removed_and_reordered() {
    #[derive(Default, Serialize, Deserialize)]
    struct Fewer {
        last: String,
        count: u32,
    }
    let directory = tempfile::tempdir().unwrap();
    let on_order = |object: &mut Fewer, _: &Order| format!("{}, {}", object.last, object.count);
    assert_eq!(
        run(made(directory.path()), "totals", 5, on_order).unwrap(),
        ["bob 3, 2"]
    );
}

#[test]
fn integers_may_become_wider_and_fields_optional() {
    #[derive(Default, Serialize, Deserialize)]
    struct Wider {
        count: u64,
        sum: i64,
        last: Option<String>,
    }
    let directory = tempfile::tempdir().unwrap();
    let on_order = |object: &mut Wider, _: &Order| {
        format!("{}, {}, {:?}", object.count, object.sum, object.last)
    };
    assert_eq!(
        run(made(directory.path()), "totals", 5, on_order).unwrap(),
        ["2, 4, Some(\"bob 3\")"]
    );
}

#[test]
fn a_renamed_field_is_found_by_its_alias() {
    #[derive(Default, Serialize, Deserialize)]
    struct Renamed {
        #[serde(alias = "sum")]
        total: u64,
    }
    let directory = tempfile::tempdir().unwrap();
    let on_order = |object: &mut Renamed, _: &Order| object.total.to_string();
    assert_eq!(
        run(made(directory.path()), "totals", 5, on_order).unwrap(),
        ["4"]
    );
}

#[test]
fn an_object_that_cannot_be_read_is_told_with_state_and_key() {
    #[derive(Default, Serialize, Deserialize)]
    struct Stricter {
        sum: u64,
        largest: u64,
    }
    let directory = tempfile::tempdir().unwrap();
    let store = made(directory.path());
    let on_order = |object: &mut Stricter, _: &Order| object.largest.to_string();
    assert_refused(
        run(store.clone(), "totals", 5, on_order),
        Code::StoreObject,
        &[
            "WAL-0711: the state \"totals\" cannot be loaded",
            "the object of the key \"bob\" cannot be read: missing field `largest`",
            "give new fields a default and renamed ones an alias, or give up all its objects with --drop-state totals",
        ],
    );
    old_program_goes_on(store);
}

#[test]
fn a_state_that_is_gone_refuses_the_start_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = made(directory.path());
    assert_refused(
        run(store.clone(), "sums", 5, total),
        Code::StorePlan,
        &[
            "and nothing was changed: state \"totals\" is not in the application; put it back, or allow it with --drop-state totals or --rename-state totals=NEW",
        ],
    );
    old_program_goes_on(store);
}

#[test]
fn a_state_that_was_dropped_begins_empty_when_it_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = made(directory.path());
    let dropping = store.clone().drop_state("totals");
    assert_eq!(run(dropping, "sums", 5, total).unwrap(), ["bob 1 5"]);
    let back = store.clone().drop_state("sums");
    assert_eq!(run(back, "totals", 6, total).unwrap(), ["ann 1 6"]);
    // And not only until the next start.
    let seen = run(store.clone(), "totals", 8, total).unwrap();
    assert_eq!(seen, ["bob 1 7", "ann 2 14"]);
    assert_refused(
        run(store.drop_state("sums"), "totals", 8, total),
        Code::StorePlan,
        &["--drop-state sums: the checkpoint has no state of that name; it has \"totals\""],
    );
}

#[test]
fn a_state_may_be_dropped_and_begin_anew_under_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = made(directory.path());
    let dropping = store.clone().drop_state("totals");
    assert_eq!(run(dropping, "totals", 5, total).unwrap(), ["bob 1 5"]);
    let seen = run(store, "totals", 7, total).unwrap();
    assert_eq!(seen, ["ann 1 6", "bob 2 12"]);
}

/// What the user had allowed was forgotten when no message came before the program was stopped.
#[test]
fn what_was_allowed_once_holds_also_if_nothing_was_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = made(directory.path());
    let renaming = store.clone().rename_state("totals", "sums");
    assert!(run(renaming, "sums", 4, total).unwrap().is_empty());
    assert_eq!(run(store, "sums", 5, total).unwrap(), ["bob 3 9"]);
}

#[test]
fn a_renamed_state_keeps_its_objects() {
    let directory = tempfile::tempdir().unwrap();
    let store = made(directory.path());
    let renaming = store.clone().rename_state("totals", "sums");
    assert_eq!(run(renaming, "sums", 5, total).unwrap(), ["bob 3 9"]);
    let seen = run(store.clone(), "sums", 7, total).unwrap();
    assert_eq!(seen, ["ann 3 12", "bob 4 16"]);
    // Its old name is free: another state of that name does not find its objects.
    let back = store.clone().drop_state("sums");
    assert_eq!(run(back, "totals", 8, total).unwrap(), ["ann 1 8"]);
    assert_eq!(run(store, "totals", 9, total).unwrap(), ["bob 1 9"]);
}

#[test]
fn keys_of_another_kind_are_refused_and_owned_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = made(directory.path());
    let by_number = |store: StoreOptions| {
        let state = State::<Total>::new("totals");
        let seen = memory::<String>();
        let orders = source("orders", iter(orders(5)));
        let keyed = orders.key_by_value(|order: &Order| order.1);
        App::new("shop")
            .add(
                keyed
                    .to_state(&state, |_: &mut Total, _: &Order| Some(String::new()))
                    .to_sink("seen", seen.clone()),
            )
            .run(options(store))
            .map(|()| seen.take())
    };
    assert_refused(
        by_number(store.clone()),
        Code::StorePlan,
        &["state \"totals\" had keys of type text, and the application has integer"],
    );
    let seen = memory::<String>();
    let keyed = source("orders", iter(orders(5))).key_by_value(|order: &Order| order.0.clone());
    App::new("shop")
        .add(
            keyed
                .to_state(
                    &State::new("totals"),
                    |object: &mut Total, order: &Order| Some(total(object, order)),
                )
                .to_sink("seen", seen.clone()),
        )
        .run(options(store))
        .unwrap();
    assert_eq!(seen.take(), ["bob 3 9"]);
}

#[test]
fn the_number_of_key_groups_is_fixed() {
    let directory = tempfile::tempdir().unwrap();
    let store = made(directory.path());
    let error = App::new("shop")
        .add(source("orders", iter(orders(5))).end())
        .run(Options {
            key_groups: KeyGroupCount::new(64).unwrap(),
            ..options(store.clone())
        })
        .expect_err("it is refused");
    assert_eq!(error.code(), Code::StoreKeyGroups);
    let text = "has 1024 key groups, and the application was started with 64; start it with 1024";
    assert!(error.to_string().contains(text), "{error}");
    old_program_goes_on(store);
}

/// A program with a source and an exactly-once sink of these names.
fn copy(directory: &Path, store: StoreOptions, source_name: &str, sink: &str) -> Result<(), Error> {
    let rows = file_sink(directory.join(sink)).json::<u64>();
    App::new("copy")
        .add(source(source_name, iter(1..=3u64)).to_sink(sink, rows))
        .run(options(store))
}

#[test]
fn sources_and_sinks_that_are_gone_must_be_named() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = (directory.path(), store(directory.path()));
    copy(path, store.clone(), "numbers", "rows").unwrap();
    let error = copy(path, store.clone(), "figures", "lines").expect_err("it is refused");
    assert_eq!(error.code(), Code::StorePlan);
    let text = error.to_string();
    for part in [
        "source \"numbers\" is not in the application; put it back, or allow it with --drop-source numbers",
        "sink \"rows\" is not in the application; put it back, or allow it with --drop-sink rows",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    let allowing = store.drop_source("numbers").drop_sink("rows");
    copy(path, allowing, "figures", "lines").unwrap();
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    assert_eq!(
        (read("rows"), read("lines")),
        ("1\n2\n3\n".into(), "1\n2\n3\n".into())
    );
}

/// The second version, which counts what it has handled itself.
#[derive(Default, Serialize, Deserialize)]
struct Counted {
    count: u32,
    sum: u64,
    last: String,
    #[serde(default)]
    by_new: u32,
}

fn counted(object: &mut Counted, (who, amount): &Order) -> String {
    object.count += 1;
    object.sum += amount;
    object.by_new += 1;
    object.last = format!("{who} {amount}");
    format!("{who} {} {} {}", object.count, object.sum, object.by_new)
}

/// As [`run`], with a file that has each row exactly once; returns all of them.
fn write<S: StateObject>(
    directory: &Path,
    store: StoreOptions,
    count: u64,
    on_order: fn(&mut S, &Order) -> String,
) -> Result<Vec<String>, Error> {
    let (path, state) = (directory.join("rows"), State::<S>::new("totals"));
    let ran = App::new("shop")
        .add(
            source("orders", iter(orders(count)))
                .key_by(|order: &Order| &order.0)
                .to_state(&state, move |object: &mut S, order: &Order| {
                    Some(on_order(object, order))
                })
                .to_sink("rows", file_sink(&path).json::<String>()),
        )
        .run(options(store));
    let text = std::fs::read_to_string(&path).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    ran.map(|()| rows.collect())
}

/// What a loop makes of the orders up to `count`, of which the first `by_old` are handled by the first version.
fn expected(by_old: u64, count: u64) -> Vec<String> {
    let mut objects = std::collections::BTreeMap::<String, Counted>::new();
    let handle = |order: Order| {
        let object = objects.entry(order.0.clone()).or_default();
        if order.1 > by_old {
            return counted(object, &order);
        }
        let mut old = Total {
            count: object.count,
            sum: object.sum,
            last: String::new(),
        };
        let row = total(&mut old, &order);
        (object.count, object.sum) = (old.count, old.sum);
        row
    };
    orders(count).into_iter().map(handle).collect()
}

/// The second version has committed and published with a field that the first does not know. The first goes back to before that, by
/// name, on a branch of its own; what the second had made is nowhere.
#[test]
fn an_old_program_goes_back_to_its_savepoint() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = (directory.path(), store(directory.path()));
    let back = || store.clone().from("before-the-new");
    assert_eq!(
        write(path, store.clone(), 40, total).unwrap(),
        expected(40, 40)
    );
    let named = store.clone().savepoint("before-the-new");
    assert_eq!(write(path, named, 40, total).unwrap(), expected(40, 40));
    // More commits than are kept: only its name keeps the savepoint.
    for count in [50, 55, 60, 65, 70] {
        let rows = write(path, store.clone(), count, counted).unwrap();
        assert_eq!(rows, expected(40, count));
    }

    let parts = ["nothing was changed", "--reset-sink rows"];
    assert_refused(write(path, back(), 90, total), Code::StorePlan, &parts);
    let rows = write(path, store.clone(), 75, counted).unwrap();
    assert_eq!(rows, expected(40, 75), "it was changed");

    let rows = write(path, back().reset_sink("rows"), 90, total).unwrap();
    assert_eq!(rows, expected(90, 90));
    let rows = write(path, store.clone(), 100, total).unwrap();
    assert_eq!(rows, expected(100, 100));

    // What the second version had counted on the other branch is not found again.
    let rows = write(path, store.clone(), 110, counted).unwrap();
    assert_eq!(rows, expected(100, 110));
}

/// Names of stages are not stored: what a stage has is a state, and that is compared.
#[test]
fn stages_come_and_go_while_their_states_stay() {
    let directory = tempfile::tempdir().unwrap();
    let first = State::<Total>::new("totals");
    let add = |total: &mut Total, order: &Order| {
        total.count += 1;
        Some(format!("{} {}", order.0, total.count))
    };
    let seen = memory::<String>();
    let begin = |count| source("orders", iter(orders(count))).key_by(|order: &Order| &order.0);
    // Two stages that share a state, and one without.
    let both = begin(2);
    let hundred = |total: &mut Total, order: &Order| {
        total.count += 100;
        Some(order.clone())
    };
    App::new("shop")
        .add(
            both.clone()
                .to_state(&first, hundred)
                .to(|order: &Order| Some(order.0.clone()))
                .end(),
        )
        .add(both.to_state(&first, add).to_sink("seen", seen.clone()))
        .run(options(store(directory.path())))
        .unwrap();
    assert_eq!(seen.take().len(), 2);
    // One of the two is gone, as is the one without; the other has another name.
    App::new("shop")
        .add(
            begin(4)
                .to_state(&first, add)
                .named("counting")
                .to_sink("seen", seen.clone()),
        )
        .run(options(store(directory.path())))
        .unwrap();
    assert_eq!(seen.take(), ["bob 102", "ann 102"]);
}

/// A savepoint keeps its files until it is deleted, which no option did.
#[test]
fn a_savepoint_that_is_dropped_keeps_nothing_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let (path, store) = (directory.path(), store(directory.path()));
    assert_eq!(
        write(path, store.clone(), 10, total).unwrap(),
        expected(10, 10)
    );
    let named = store.clone().savepoint("ten");
    assert_eq!(write(path, named, 20, total).unwrap(), expected(20, 20));
    for count in [30, 40, 50, 60, 70] {
        write(path, store.clone(), count, total).unwrap();
    }
    assert_refused(
        write(path, store.clone().drop_savepoint("nine"), 80, total),
        Code::StoreNotFound,
        &["savepoint \"nine\""],
    );
    // It may be the one that a start goes back to: from then on it is the newest of the path.
    let back = store
        .clone()
        .from("ten")
        .reset_sink("rows")
        .drop_savepoint("ten");
    assert_eq!(write(path, back, 30, total).unwrap(), expected(30, 30));
    assert_refused(
        write(
            path,
            store.clone().from("ten").reset_sink("rows"),
            40,
            total,
        ),
        Code::StoreNotFound,
        &["savepoint \"ten\""],
    );
    assert_eq!(write(path, store, 40, total).unwrap(), expected(40, 40));
}
