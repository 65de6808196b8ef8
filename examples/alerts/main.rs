//! Alerts on running totals: what each user has deposited and withdrawn, and an alert when that passes a limit.
//!
//! ```text
//! alerts --workers 2
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};
use wallaroo::{App, State, generator, source, stdout};

const USERS: [&str; 5] = ["Fido", "Rex", "Dr. Whiskers", "Feathers", "Mopey"];
const TRANSACTIONS: u64 = 1_000;
const LIMIT: i64 = 1_000;

/// Number `n` of the transactions that this example makes up.
#[derive(Clone, Serialize, Deserialize)]
struct Transaction {
    number: u64,
    user: String,
    amount: i64,
}

impl Transaction {
    fn number(number: u64) -> Transaction {
        // A pure function: the source can be continued anywhere, and every run sees the same.
        let noise = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        Transaction {
            number,
            user: USERS[(noise % 5) as usize].to_owned(),
            amount: (noise / 5 % 401) as i64 - 200,
        }
    }

    fn next(&self) -> Option<Transaction> {
        (self.number + 1 < TRANSACTIONS).then(|| Transaction::number(self.number + 1))
    }
}

/// The state object.
#[derive(Default, Serialize, Deserialize)]
struct Account {
    total: i64,
    is_over: bool,
}

#[derive(Serialize, Deserialize)]
struct Alert {
    user: String,
    total: i64,
    transaction: u64,
}

impl Account {
    /// An alert when the total leaves the range from -1,000 to 1,000; the next one only after it has come back.
    fn on_transaction(&mut self, transaction: &Transaction) -> Option<Alert> {
        self.total += transaction.amount;
        let was_over = self.is_over;
        self.is_over = self.total.abs() > LIMIT;
        (self.is_over && !was_over).then(|| Alert {
            user: transaction.user.clone(),
            total: self.total,
            transaction: transaction.number,
        })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.total > 0 {
            "deposited"
        } else {
            "withdrawn"
        };
        let Alert {
            user,
            total,
            transaction,
        } = self;
        write!(
            f,
            "{user} has {what} {} (transaction {transaction})",
            total.abs()
        )
    }
}

fn main() {
    let accounts = State::<Account>::new("accounts");
    App::new("alerts")
        .add(
            source(
                "transactions",
                generator(Transaction::number(0), Transaction::next),
            )
            .key_by(|transaction| &transaction.user)
            .to_state(&accounts, Account::on_transaction)
            .to_sink("alerts", stdout().lines()),
        )
        .main();
}
