//! Failures: what users read when their code, their input or their output fails, and what is left of the
//! messages and state objects for which it failed.

mod acknowledged;
mod connections;
mod dead_letters;
#[cfg(target_os = "linux")]
mod devices;
mod encoding;
mod files;
mod handlers;
mod keys;
mod policies;
mod records;
mod sinks;
mod sources;
mod user_types;
mod workers;

use serde::{Deserialize, Serialize};
use wallaroo::{App, Code, Error, ErrorKind, Options};
use wallaroo_acceptance::ending;

/// The error of an application that fails with any number of workers, and always in the same way.
fn error(app: impl Fn() -> App) -> Error {
    let first = ending::failure(app(), Options::with_workers(1));
    for workers in [2, 4] {
        let other = ending::failure(app(), Options::with_workers(workers));
        assert_eq!(
            (other.code(), other.to_string()),
            (first.code(), first.to_string()),
            "with {workers} workers"
        );
    }
    first
}

/// Checks everything about an error.
#[track_caller]
fn check(error: &Error, kind: ErrorKind, code: Code, text: impl AsRef<str>) {
    assert_eq!(error.to_string(), format!("{code}: {}", text.as_ref()));
    assert_eq!((error.kind(), error.code()), (kind, code));
}

/// The place where a stage is added, as error texts show it.
macro_rules! place {
    ($line:expr) => {
        format!("{}:{}", file!(), $line)
    };
}
use place;

/// What all error texts about a stage end with.
const POLICY: &str = "correct the function or the input, or let the stage skip such messages with \
    .on_error(OnError::Skip) or keep them with .dead_letter(name, sink)";

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    customer: String,
    amount: i64,
}

fn order(customer: &str, amount: i64) -> Order {
    Order {
        customer: customer.to_owned(),
        amount,
    }
}

/// A state object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    orders: u64,
    sum: i64,
}

impl Account {
    /// Adds up the amounts. An amount of 13 panics, a negative one is an error; both when half the work is done.
    fn add(&mut self, order: &Order) -> Result<Option<(String, u64, i64)>, String> {
        self.orders += 1;
        assert!(order.amount != 13, "unlucky amount");
        if order.amount < 0 {
            return Err(format!("negative amount {}", order.amount));
        }
        self.sum += order.amount;
        Ok(Some((order.customer.clone(), self.orders, self.sum)))
    }
}
