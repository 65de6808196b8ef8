use serde::{Deserialize, Serialize};
use wallaroo::{
    App, Code, Error, ErrorKind, OnError, Options, Pipeline, State, iter, memory, source,
};

use crate::Count;

/// The error of an application that cannot be built; `plan` and `start` must agree on it.
fn error(pipelines: impl Fn() -> Vec<Pipeline>) -> Error {
    let app = || pipelines().into_iter().fold(App::new("wrong"), App::add);
    let error = app().plan().expect_err("it cannot be built");
    let started = app()
        .start(Options::default())
        .expect_err("it cannot start");
    assert_eq!(error, started);
    error
}

#[track_caller]
fn check(error: &Error, code: Code, text: impl AsRef<str>) {
    assert_eq!(error.to_string(), format!("{code}: {}", text.as_ref()));
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, code));
}

/// A place in this file.
fn at(line: u32) -> String {
    format!("{}:{line}", file!())
}

fn numbers(name: &str) -> wallaroo::Stream<u64> {
    source(name, iter(0..3u64))
}

#[test]
fn an_application_without_pipelines() {
    check(
        &error(Vec::new),
        Code::NoPipeline,
        "the application \"wrong\" has no pipeline; add one with App::add",
    );
}

#[test]
fn a_name_used_twice() {
    fn double(number: &u64) -> Option<u64> {
        Some(2 * number)
    }
    let line = line!() + 2;
    let pipelines = || {
        let first = numbers("numbers").to(double);
        vec![first.to(double).end()]
    };
    check(
        &error(pipelines),
        Code::DuplicateName,
        format!(
            "the name \"double\" is used twice, at {} and at {}; \
             give one of them another name, with .named(\"…\") for a stage",
            at(line),
            at(line + 1)
        ),
    );
}

#[test]
fn a_name_that_cannot_be_used() {
    let line = line!() + 1;
    let pipelines = || vec![source("a=b", iter(0..3u64)).end()];
    check(
        &error(pipelines),
        Code::Name,
        format!(
            "the name \"a=b\" at {} cannot be used; \
             a name has 1 to 255 bytes and no control characters or '='",
            at(line)
        ),
    );
}

#[test]
fn a_state_of_two_types() {
    #[derive(Default, Serialize, Deserialize)]
    struct Other;
    let line = line!() + 5;
    let pipelines = || {
        let (state, other) = (State::<Count>::new("state"), State::<Other>::new("state"));
        let one = numbers("one")
            .collect()
            .to_state(&state, |_: &mut Count, _: &u64| ());
        let two = numbers("two")
            .collect()
            .to_state(&other, |_: &mut Other, _: &u64| ());
        vec![one.end(), two.end()]
    };
    check(
        &error(pipelines),
        Code::StateType,
        format!(
            "the state \"state\" is a lifecycle::Count at {} and a \
             lifecycle::building::a_state_of_two_types::Other at {}; use two state names, or one type",
            at(line),
            at(line + 3)
        ),
    );
}

#[test]
fn a_state_with_keys_of_two_types() {
    let line = line!() + 4;
    let pipelines = || {
        let state = State::<Count>::new("state");
        let one = numbers("one").key_by_value(|number| *number);
        let one = one.to_state(&state, |_: &mut Count, _: &u64| ());
        let two = numbers("two").key_by_value(|number| number.to_string());
        let two = two.to_state(&state, |_: &mut Count, _: &u64| ());
        vec![one.end(), two.end()]
    };
    check(
        &error(pipelines),
        Code::StateKeyType,
        format!(
            "the state \"state\" is used with two types of key: integer at {}, and text at {}; \
             keys of different types never find the same state object, so let the key_by before both stages \
             return the same type, or use two states",
            at(line),
            at(line + 2)
        ),
    );
}

#[test]
fn keys_that_are_equal_whatever_their_type_can_share_a_state() {
    let state = State::<Count>::new("state");
    let one = numbers("one").key_by_value(|number| *number as u8);
    let two = numbers("two").key_by_value(|number| *number as i64);
    let texts = source("texts", iter(["a".to_owned()]));
    let text_state = State::<Count>::new("text state");
    let app = App::new("right")
        .add(one.to_state(&state, |_: &mut Count, _: &u64| ()).end())
        .add(two.to_state(&state, |_: &mut Count, _: &u64| ()).end())
        .add(
            texts
                .clone()
                .key_by(|text| text.as_str())
                .to_state(&text_state, |_: &mut Count, _: &String| ())
                .end(),
        )
        .add(
            texts
                .key_by_value(|text| text.clone())
                .to_state(&text_state, |_: &mut Count, _: &String| ())
                .end(),
        );
    assert!(app.plan().is_ok());
}

#[test]
fn a_path_from_a_stage_of_a_state_to_another_of_it() {
    let line = line!() + 5;
    let pipelines = || {
        let state = State::<Count>::new("state");
        let keyed = numbers("numbers").key_by_value(|number| *number);
        let first = keyed
            .to_state(&state, |_: &mut Count, number: &u64| Some(*number))
            .named("first");
        let second = first
            .to_state(&state, |_: &mut Count, _: &u64| ())
            .named("second");
        vec![second.end()]
    };
    check(
        &error(pipelines),
        Code::StatePath,
        format!(
            "the stage \"first\" at {} feeds the stage \"second\" at {}, and both use the state \"state\"; \
             do the work in one state computation, or use two states",
            at(line),
            at(line + 3)
        ),
    );
}

#[test]
fn states_that_feed_each_other_in_a_circle() {
    let pipelines = || {
        let (one, two) = (State::<Count>::new("one"), State::<Count>::new("two"));
        let pass = |_: &mut Count, number: &u64| Some(*number);
        let forth = numbers("forth")
            .key_by_value(|number| *number)
            .to_state(&one, pass);
        let forth = forth.key_by_value(|number| *number).to_state(&two, pass);
        let back = numbers("back")
            .key_by_value(|number| *number)
            .to_state(&two, pass);
        let back = back.key_by_value(|number| *number).to_state(&one, pass);
        vec![forth.end(), back.end()]
    };
    check(
        &error(pipelines),
        Code::StateCircle,
        "the states \"one\" and \"two\" feed each other in a circle; \
         a plan has no loops, so give one of the stages a state of its own",
    );
}

#[test]
fn a_merge_of_a_stream_with_keys_and_one_without() {
    let line = line!() + 3;
    let pipelines = || {
        let keyed = numbers("one").key_by_value(|number| *number);
        vec![keyed.merge(numbers("two")).end()]
    };
    check(
        &error(pipelines),
        Code::MergeKeys,
        format!(
            "merge at {} joins a stream with keys and one without; \
             put key_by after the merge, or on both sides before it",
            at(line)
        ),
    );
}

#[test]
fn a_sink_and_a_sink_of_dead_letters_with_the_same_name() {
    let line = line!() + 3;
    let pipelines = || {
        let numbers = numbers("numbers").to(|number: &u64| Some(*number));
        let numbers = numbers.dead_letter("out", memory());
        vec![
            numbers
                .on_error(OnError::DeadLetter)
                .to_sink("out", memory()),
        ]
    };
    check(
        &error(pipelines),
        Code::DuplicateName,
        format!(
            "the name \"out\" is used twice, at {} and at {}; \
             give one of them another name, with .named(\"…\") for a stage",
            at(line),
            at(line + 4)
        ),
    );
}
