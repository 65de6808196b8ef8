//! A sink of a third party that publishes into a database, with rows and progress in one transaction.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use wallaroo::connectors::Encoded;
use wallaroo::{
    App, Code, ConnectorError, Error, Options, Running, Sink, State, StoreOptions, Waker, Writer,
    iter, source,
};
use wallaroo_core::{Position, Publisher, Rows};

const NUMBERS: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A table of a database in a file.
struct Table {
    path: PathBuf,
    /// So many publications say that they failed, although they did not.
    unclear: Arc<AtomicU64>,
}

impl Sink<Rows> for Table {
    fn open(&mut self, _: &Waker) -> Result<Box<dyn Writer<Rows>>, ConnectorError> {
        Err(ConnectorError::new("a table needs a store").with_help("start with --store"))
    }

    fn publisher(&mut self) -> Result<Option<Box<dyn Publisher>>, ConnectorError> {
        let connection = Connection::open(&self.path).map_err(failed)?;
        let tables = "create table if not exists output (epoch integer, line text); create table if not exists progress (epoch integer)";
        connection.execute_batch(tables).map_err(failed)?;
        let unclear = Arc::clone(&self.unclear);
        Ok(Some(Box::new(TablePublisher {
            connection,
            published: 0,
            unclear,
        })))
    }
}

struct TablePublisher {
    connection: Connection,
    published: u64,
    unclear: Arc<AtomicU64>,
}

fn failed(error: rusqlite::Error) -> ConnectorError {
    ConnectorError::new("cannot write the table")
        .with_cause(error)
        .with_code(Code::SinkWrite)
}

/// The last epoch that is in the table.
fn progress(connection: &Connection) -> Result<u64, ConnectorError> {
    let last = "select coalesce(max(epoch), 0) from progress";
    let last: i64 = connection
        .query_row(last, [], |row| row.get(0))
        .map_err(failed)?;
    Ok(last.unsigned_abs())
}

impl Publisher for TablePublisher {
    fn resume(&mut self, from: Option<&Position>, reset: bool) -> Result<Position, ConnectorError> {
        self.published = from.map(Position::get).transpose()?.unwrap_or(0);
        if reset {
            let behind = format!(
                "delete from output where epoch > {0}; delete from progress where epoch > {0}",
                self.published
            );
            self.connection.execute_batch(&behind).map_err(failed)?;
        } else if progress(&self.connection)? < self.published {
            return Err(ConnectorError::new(
                "rows that were published are gone from the table",
            ));
        }
        Ok(Position::of(self.published))
    }

    fn publish(&mut self, epoch: u64, rows: &Rows) -> Result<Position, ConnectorError> {
        if progress(&self.connection)? < epoch {
            let transaction = self.connection.transaction().map_err(failed)?;
            for row in rows.iter() {
                let line = String::from_utf8_lossy(row);
                transaction
                    .execute(
                        "insert into output values (?1, ?2)",
                        (epoch as i64, line.trim_end()),
                    )
                    .map_err(failed)?;
            }
            transaction
                .execute("insert into progress values (?1)", [epoch as i64])
                .map_err(failed)?;
            transaction.commit().map_err(failed)?;
        }
        let one_less = self
            .unclear
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        if one_less.is_ok() {
            return Err(ConnectorError::new(
                "the connection broke, and nobody knows whether before or behind the commit",
            ));
        }
        self.published = epoch;
        Ok(Position::of(epoch))
    }

    fn resumed(&mut self) -> Result<(), ConnectorError> {
        match progress(&self.connection)? {
            last if last > self.published => Err(ConnectorError::new(
                "the table has rows that this store never committed",
            )),
            _ => Ok(()),
        }
    }
}

fn start(directory: &Path, unclear: u64) -> Result<Running, Error> {
    let counts = State::<u64>::new("counts");
    let counted = source("numbers", iter(0..NUMBERS))
        .key_by_value(|number: &u64| number % 7)
        .to_state(&counts, |count: &mut u64, number: &u64| {
            *count += 1;
            Some(format!("{number} {count}"))
        });
    let table = Table {
        path: directory.join("table.db"),
        unclear: Arc::new(AtomicU64::new(unclear)),
    };
    let lines = |line: &String, row: &mut Vec<u8>| {
        row.extend_from_slice(line.as_bytes());
        Ok(())
    };
    let store = StoreOptions::new(directory.join("store").to_string_lossy())
        .every(Duration::from_millis(1));
    let options = Options {
        store: Some(store),
        ..Options::with_workers(2)
    };
    App::new("counting")
        .add(counted.to_sink("table", Encoded::new(table, lines)))
        .start(options)
}

fn lines(directory: &Path) -> Vec<String> {
    let connection = Connection::open(directory.join("table.db")).expect("it is there");
    let mut lines = connection
        .prepare("select line from output")
        .expect("it has the table");
    let lines = lines
        .query_map([], |row| row.get(0))
        .expect("it can be read");
    let mut lines: Vec<String> = lines.collect::<Result<_, _>>().expect("they are texts");
    lines.sort();
    lines
}

/// Workers, and the thread that publishes, are dropped wherever they are; some publications are done, and reported as failed.
#[test]
fn rows_are_in_a_database_once_however_often_the_application_dies() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    for died in 0..8 {
        // A start publishes what was committed and not published; then the report of a failure ends it.
        let Ok(running) = start(directory.path(), 1) else {
            continue;
        };
        let commits = || running.checkpoints().expect("it has a store").commits;
        let mut waited = Duration::ZERO;
        while commits() < died && waited < PATIENCE {
            let ended = running.wait_timeout(Duration::from_millis(1));
            assert!(ended.is_none(), "the end came before the death: {ended:?}");
            waited += Duration::from_millis(1);
        }
        drop(running);
    }
    start(directory.path(), 0)
        .expect("it starts")
        .wait()
        .expect("it comes to its end");
    let mut expected: Vec<String> = (0..NUMBERS)
        .map(|number| format!("{number} {}", number / 7 + 1))
        .collect();
    expected.sort();
    let found = lines(directory.path());
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "rows are others than they should be");
}

#[test]
fn a_table_that_knows_less_or_more_than_the_store_is_refused() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    start(directory.path(), 0)
        .expect("it starts")
        .wait()
        .expect("it comes to its end");
    let refused = |change: &str, expected: &str| {
        let connection = Connection::open(directory.path().join("table.db")).expect("it is there");
        connection.execute_batch(change).expect("it has the table");
        let error = start(directory.path(), 0).expect_err("the table is not what was left");
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused(
        "insert into progress values (1000000)",
        "this store never committed",
    );
    refused("delete from progress", "are gone from the table");
}
