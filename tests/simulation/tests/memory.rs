//! Keys that come and go.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use wallaroo::{App, Context, Options, State, iter, source};
use wallaroo_simulation::raw::{Counting, bytes_in_use};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Message {
    Create(u64),
    Forget(u64),
    Measure,
}

impl Message {
    fn key(self) -> u64 {
        match self {
            Message::Create(key) | Message::Forget(key) => key,
            Message::Measure => u64::MAX,
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Object<T>(T);

/// Bytes in use before `keys` objects are created, when they are there, and when they are forgotten.
fn measured<T>(keys: u64) -> [usize; 3]
where
    T: Default + Serialize + for<'a> Deserialize<'a> + Send + 'static,
{
    let measured = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&measured);
    let objects = State::<Object<T>>::new("objects");
    let messages = [Message::Measure]
        .into_iter()
        .chain((0..keys).map(Message::Create))
        .chain([Message::Measure])
        .chain((0..keys).map(Message::Forget))
        // Keys are released behind each batch, and marks only once no higher slot is live: so the last batch of
        // forgotten keys must have been released when memory is measured.
        .chain((0..20_000).map(|_| Message::Create(u64::MAX)))
        .chain([Message::Measure]);
    let stream = source("messages", iter(messages))
        .key_by_value(|message: &Message| message.key())
        .to_state_with(
            &objects,
            move |_: &mut Object<T>, message: &Message, context: &mut Context<'_, u64>| {
                match message {
                    Message::Create(_) => {}
                    Message::Forget(_) => context.forget(),
                    Message::Measure => noted
                        .lock()
                        .expect("nobody panics with it")
                        .push(bytes_in_use()),
                }
            },
        );
    App::new("memory")
        .add(stream.end())
        .run(Options::default())
        .expect("it runs");
    let measured = measured.lock().expect("nobody panics with it");
    [measured[0], measured[1], measured[2]]
}

fn check(measured: [usize; 3], least: usize, left: usize) {
    let [before, with, after] = measured;
    assert!(with - before > least, "{measured:?}");
    assert!(after.saturating_sub(before) < left, "{measured:?}");
}

/// What is left is the record of what has changed, which is bounded (34 MB behind the 10 million keys), and buffers.
#[test]
fn forgotten_keys_give_their_memory_back() {
    check(measured::<[[u64; 10]; 5]>(300_000), 100 << 20, 20 << 20);
    check(measured::<[[u64; 10]; 2]>(1_000_000), 180 << 20, 40 << 20);
    if std::env::var_os("WALLAROO_SLOW").is_some() {
        check(measured::<[u64; 2]>(10_000_000), 500 << 20, 80 << 20);
    }
}
