//! The second application that is killed: acknowledged senders, dead letters, objects that are forgotten and that expire, and
//! several keyed stages in a row.
//!
//! **Invariants.** What becomes of an order depends on its text alone, but for the objects that expire.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::{App, Context, DeadLetter, State, file_sink, source, tcp_listener};

use crate::random::Random;

pub mod check;

/// Accounts, the keys of the first stage.
pub const ACCOUNTS: u64 = 40;
/// Regions of accounts, the keys of the second.
pub const REGIONS: u64 = 7;
/// The file of the orders that were taken.
pub const TAKEN: &str = "taken.csv";
/// The file of those that were refused.
pub const REFUSED: &str = "refused.txt";
/// What the panics of refused orders say.
pub const REFUSAL: &str = "an odd order is refused";
/// When this file is there, the application ends.
pub const STOP: &str = "stop";
/// So long an account that has no orders is remembered by the stage that forgets.
const EXPIRES: Duration = Duration::from_millis(40);

/// An order, as its sender writes it: `SENDER NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Order {
    /// Who sends it.
    pub sender: u64,
    /// Its number there, from 1.
    pub number: u64,
}

impl Order {
    fn draw(self, purpose: u64) -> u64 {
        Random(self.sender << 40 ^ self.number << 4 ^ purpose).number()
    }

    /// The account it is for.
    #[must_use]
    pub fn account(self) -> u64 {
        self.draw(1) % ACCOUNTS
    }

    /// Whether it is refused, with an error or a panic.
    #[must_use]
    pub fn is_refused(self) -> bool {
        self.draw(2).is_multiple_of(25)
    }

    /// Whether the account is closed with it: the next order opens another.
    #[must_use]
    pub fn closes(self) -> bool {
        self.draw(3).is_multiple_of(15)
    }

    /// The order in a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Order> {
        let (sender, number) = text.split_once(' ')?;
        Some(Order {
            sender: sender.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Count(u64);

/// A row of the output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    sender: u64,
    number: u64,
    /// Orders of the account since it was opened, with this one.
    of_account: u64,
    /// Orders of the account since it was last forgotten, with this one.
    recent: u64,
    /// Orders of the region, with this one.
    of_region: u64,
}

impl Row {
    fn order(&self) -> Order {
        let Row { sender, number, .. } = *self;
        Order { sender, number }
    }
}

fn take(count: &mut Count, order: &Order, context: &mut Context<'_, Row>) -> Result<(), String> {
    // Half done when it fails: the object must be as it was.
    count.0 += 1;
    if order.is_refused() {
        assert!(order.number.is_multiple_of(2), "{REFUSAL}");
        return Err("an even order is refused".to_owned());
    }
    context.emit(Row {
        sender: order.sender,
        number: order.number,
        of_account: count.0,
        recent: 0,
        of_region: 0,
    });
    if order.closes() {
        context.forget();
    }
    Ok(())
}

/// The application, listening at `address` and writing to files in `directory`.
pub fn application(directory: &Path, address: &str) -> App {
    let accounts = State::<Count>::new("accounts");
    let recent = State::<Count>::new("recent").expire_after(EXPIRES);
    let regions = State::<Count>::new("regions");
    let refused: PathBuf = directory.join(REFUSED);
    let refused = file_sink(refused).encode(|letter: &DeadLetter, row: &mut Vec<u8>| {
        let order: Order = serde_json::from_slice(&letter.message)?;
        row.extend_from_slice(format!("{} {}\n", order.sender, order.number).as_bytes());
        Ok(())
    });
    let orders = tcp_listener(address)
        .acknowledged()
        .decode(|line| Ok(std::str::from_utf8(line).ok().and_then(Order::parse)));
    let rows = source("orders", orders)
        .key_by_value(|order: &Order| order.account())
        .to_state_with(&accounts, take)
        .dead_letter("refused", refused)
        .to_state(&recent, |count: &mut Count, row: &Row| {
            count.0 += 1;
            let recent = count.0;
            Some(Row {
                recent,
                ..row.clone()
            })
        })
        .key_by_value(|row: &Row| row.order().account() % REGIONS)
        .to_state(&regions, |count: &mut Count, row: &Row| {
            count.0 += 1;
            let of_region = count.0;
            Some(Row {
                of_region,
                ..row.clone()
            })
        });
    App::new("orders").add(rows.to_sink("taken", file_sink(directory.join(TAKEN)).csv::<Row>()))
}
