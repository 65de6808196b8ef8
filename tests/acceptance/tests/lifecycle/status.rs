use std::fs;
use std::sync::mpsc;

use wallaroo::{
    App, Context, Lag, NodeStatus, OnError, Options, State, StateStatus, Status, channel, discard,
    file, iter, memory, source,
};
use wallaroo_acceptance::{ending, waiting};

use crate::Count;

#[test]
fn the_status_counts_messages_of_every_source_stage_and_sink() {
    fn small(number: &u64) -> Result<Vec<u64>, String> {
        match number {
            0..10 => Ok(vec![*number, *number]),
            10..20 => Ok(Vec::new()),
            _ => Err(format!("{number} is large")),
        }
    }
    for workers in [1, 3] {
        let counts = State::<Count>::new("counts");
        let running = App::new("counted")
            .add(
                source("numbers", iter(0..30u64))
                    .to(small)
                    .on_error(OnError::Skip)
                    .key_by_value(|number| *number)
                    .named("by number")
                    .to_state(&counts, Count::number)
                    .named("count")
                    .to_sink("numbered", memory()),
            )
            .start(Options::with_workers(workers))
            .expect("it starts");
        ending::wait(&running).expect("it completes");
        let node = |name: &str, messages_in, messages_out, dropped| NodeStatus {
            name: name.to_owned(),
            messages_in,
            messages_out,
            dropped,
            waiting: 0,
            lag: Lag::default(),
        };
        let expected = Status {
            workers,
            nodes: vec![
                node("numbers", 30, 30, 0),
                node("small", 30, 20, 10),
                node("by number", 20, 20, 0),
                node("count", 20, 20, 0),
                node("numbered", 20, 0, 0),
            ],
            // The objects have been dropped.
            states: vec![StateStatus {
                name: "counts".into(),
                keys: 0,
                bytes: None,
            }],
            queued_bytes: 0,
            stuck: Vec::new(),
        };
        assert_eq!(running.status(), expected);
    }
}

#[test]
fn the_status_tells_how_many_keys_a_state_has_on_all_workers_and_what_they_take() {
    fn visit(count: &mut Count, number: &i64, ctx: &mut Context<'_, u64>) -> Option<u64> {
        count.0 += 1;
        if *number < 0 {
            ctx.forget();
        }
        None
    }
    for workers in [1, 3] {
        let (_sender, numbers) = channel::<i64>(5_000);
        let counts = State::<Count>::new("counts");
        let visits = source("numbers", numbers)
            .key_by_value(|number: &i64| number.abs())
            .to_state_with(&counts, visit)
            .to_sink("nowhere", discard());
        let running = App::new("sized")
            .add(visits)
            .start(Options::with_workers(workers))
            .expect("it starts");
        let size = || {
            let status = running.status();
            let [state] = status.states.as_slice() else {
                panic!("one state: {status:?}")
            };
            assert_eq!(state.name, "counts");
            (state.keys, state.bytes.unwrap_or(0))
        };
        for number in 0..5_000_i64 {
            running.send("numbers", number).expect("it runs");
        }
        waiting::until("all keys are there", || size().0 == 5_000);
        let full = size().1;
        // Some 60 bytes for each, and at least its object and what finds it.
        assert!((5_000 * 40..5_000 * 200).contains(&full), "{full} bytes");
        for number in 1_000..5_000_i64 {
            running.send("numbers", -number).expect("it runs");
        }
        waiting::until("most are forgotten", || size().0 == 1_000);
        running.rescale((4 - workers).try_into().expect("is not zero"));
        waiting::until("it has changed its workers", || {
            running.status().workers == 4 - workers && size().0 == 1_000
        });
        running.stop();
        ending::wait(&running).expect("it completes");
    }
}

#[test]
fn the_status_tells_how_far_a_source_is_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lines.txt");
    let line = "a line of the file\n";
    fs::write(&path, line.repeat(10_000)).expect("it can be written");
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let (_sender, numbers) = channel::<u64>(100);
    let running = App::new("behind")
        .add(
            source("lines", file(&path).follow(true).lines())
                .to(move |_: &String| {
                    // Answered once; then the channel is closed.
                    let _ = wait.lock().expect("not poisoned").recv();
                    None::<()>
                })
                .named("slow")
                .to_sink("nowhere", discard()),
        )
        .add(source("numbers", numbers).to_sink("nowhere either", discard()))
        .start(Options::with_workers(1))
        .expect("it starts");
    let lag = |name: &str| {
        let status = running.status();
        let node = status.nodes.iter().find(|node| node.name == name);
        node.expect("it is in the plan").lag
    };
    let bytes = (line.len() * 10_000) as u64;
    waiting::until("it has read a part", || {
        lag("lines")
            .bytes
            .is_some_and(|left| left > 0 && left < bytes)
    });
    assert_eq!(lag("lines").messages, None);
    drop(go_on);
    waiting::until("it has read everything", || lag("lines").bytes == Some(0));
    let of_channel = || lag("numbers").messages;
    waiting::until("the channel has been looked into", || {
        of_channel() == Some(0)
    });
    assert_eq!(lag("nowhere"), Lag::default());
    running.stop();
    ending::wait(&running).expect("it completes");
}
