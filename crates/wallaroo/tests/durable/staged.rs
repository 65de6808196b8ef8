//! Memory stays bounded when output cannot be published as fast as it is made.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use wallaroo::connectors::Encoded;
use wallaroo::{
    App, Code, ConnectorError, Limits, Options, Position, Publisher, Rows, Sink, StoreOptions,
    Waker, Writer, generator, source,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Whether publishing goes on, and what has been published.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, u64)>,
    news: Condvar,
}

impl Gate {
    fn set_open(&self) {
        self.state.lock().expect("nobody panics with it").0 = true;
        self.news.notify_all();
    }

    fn wait_for_rows(&self, count: u64) {
        let state = self.state.lock().expect("nobody panics with it");
        let waited = self
            .news
            .wait_timeout_while(state, PATIENCE, |(_, rows)| *rows < count);
        assert!(!waited.expect("nobody panics with it").1.timed_out());
    }
}

/// Publishes nothing before its gate is open.
#[derive(Clone, Default)]
struct Slow {
    gate: Arc<Gate>,
}

impl Sink<Rows> for Slow {
    fn open(&mut self, _: &Waker) -> Result<Box<dyn Writer<Rows>>, ConnectorError> {
        Err(ConnectorError::new("it has a publisher").with_code(Code::SinkOpen))
    }

    fn publisher(&mut self) -> Result<Option<Box<dyn Publisher>>, ConnectorError> {
        Ok(Some(Box::new(self.clone())))
    }
}

impl Publisher for Slow {
    fn resume(&mut self, _: Option<&Position>, _: bool) -> Result<Position, ConnectorError> {
        Ok(Position::of(0))
    }

    fn publish(&mut self, epoch: u64, rows: &Rows) -> Result<Position, ConnectorError> {
        let state = self.gate.state.lock().expect("nobody panics with it");
        let mut state = self
            .gate
            .news
            .wait_while(state, |(is_open, _)| !*is_open)
            .expect("nobody panics with it");
        state.1 += rows.iter().count() as u64;
        self.gate.news.notify_all();
        Ok(Position::of(epoch))
    }
}

fn encode(text: &String, row: &mut Vec<u8>) -> Result<(), ConnectorError> {
    row.extend_from_slice(text.as_bytes());
    Ok(())
}

/// A source at full speed, a publisher that stands still: three epochs are kept, each not much larger than the limit, and then
/// the source waits.
#[test]
fn a_publisher_that_stands_still_holds_the_sources() {
    const LIMIT: usize = 1 << 20;
    const CREDIT: usize = 1 << 20;
    /// Of a row in memory: its text and where it ends.
    const ROW_BYTES: usize = 100;
    let store = tempfile::tempdir().expect("a directory can be made");
    let slow = Slow::default();
    let texts = source(
        "texts",
        generator("x".repeat(ROW_BYTES - 1), |text: &String| {
            Some(text.clone())
        }),
    );
    let app = App::new("slow").add(texts.to_sink("slow", Encoded::new(slow.clone(), encode)));
    let options = Options {
        limits: Limits {
            credit_bytes: CREDIT,
            staged_bytes: LIMIT,
            ..Limits::default()
        },
        store: Some(
            StoreOptions::new(store.path().to_str().expect("it is text")).every(PATIENCE * 60),
        ),
        ..Options::default()
    };
    let running = app.start(options).expect("it starts");
    let uncommitted = || running.checkpoints().expect("it has a store").uncommitted;
    while uncommitted() < 3 {
        let ended = running.wait_timeout(Duration::from_millis(5));
        assert!(ended.is_none(), "it runs");
    }
    let status = running.status();
    let rows = status.nodes.iter().find(|node| node.name == "slow");
    let rows = rows.expect("it is a sink").messages_in;
    let kept = usize::try_from(rows).expect("it fits") * ROW_BYTES;
    assert!(kept > 2 * LIMIT, "{kept} bytes are kept");
    assert!(kept < 3 * (LIMIT + 2 * CREDIT), "{kept} bytes are kept");
    slow.gate.set_open();
    slow.gate.wait_for_rows(4 * rows);
    running.stop();
    running.wait().expect("it ends");
}
