use wallaroo::{App, NodeStatus, OnError, Options, State, Status, iter, memory, source};
use wallaroo_acceptance::ending;

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
            queued_bytes: 0,
            stuck: Vec::new(),
        };
        assert_eq!(running.status(), expected);
    }
}
