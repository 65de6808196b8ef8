//! Checks what the second application has written.
//!
//! **Invariants.** It knows what was sent and the files, and counts by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Order, REFUSED, REGIONS, TAKEN};

/// Checks that every order is there once, in the right file, and was counted once.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(directory: &Path, senders: u64, count: u64) -> Result<(), String> {
    let read = |name| {
        let path = directory.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("{path:?}: {error}"))
    };
    let mut missing: BTreeSet<Order> = (0..senders)
        .flat_map(|sender| (1..=count).map(move |number| Order { sender, number }))
        .collect();
    for line in read(REFUSED)?.lines() {
        let wrong = |what: &str| format!("{REFUSED}: {line}: {what}");
        let order = Order::parse(line).ok_or_else(|| wrong("not an order"))?;
        if !order.is_refused() {
            return Err(wrong("it should have been taken"));
        }
        if !missing.remove(&order) {
            return Err(wrong("it is there twice, or was never sent"));
        }
    }
    let text = read(TAKEN)?;
    let mut lines = text.lines();
    if lines.next() != Some("sender,number,of_account,recent,of_region") {
        return Err(format!("{TAKEN} does not begin with its header"));
    }
    // What the next order of each account must be counted to, and of the stage that forgets the last count.
    let (mut accounts, mut recents) = (BTreeMap::new(), BTreeMap::new());
    let mut regions: BTreeMap<u64, u64> = BTreeMap::new();
    let mut last: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for (index, line) in lines.enumerate() {
        let wrong = |what: &str| format!("{TAKEN} line {}: {line}: {what}", index + 2);
        let fields: Result<Vec<u64>, _> = line.split(',').map(str::parse).collect();
        let Ok([sender, number, of_account, recent, of_region]) = fields.as_deref() else {
            return Err(wrong("not a row"));
        };
        let (sender, number) = (*sender, *number);
        let order = Order { sender, number };
        if order.is_refused() {
            return Err(wrong("it should have been refused"));
        }
        if !missing.remove(&order) {
            return Err(wrong("it is there twice, or was never sent"));
        }
        let account = order.account();
        let expected = accounts.insert(account, if order.closes() { 1 } else { of_account + 1 });
        if *of_account != expected.unwrap_or(1) {
            return Err(wrong("the account was counted wrongly, or not closed"));
        }
        let before = recents.insert(account, *recent).unwrap_or(0);
        if *recent != before + 1 && *recent != 1 {
            return Err(wrong(
                "neither the next count nor the first after it was forgotten",
            ));
        }
        let region = regions.entry(account % REGIONS).or_default();
        *region += 1;
        if of_region != region {
            return Err(wrong("the region was counted wrongly"));
        }
        let before = last.insert((sender, account), number);
        if before.is_some_and(|before| before >= number) {
            return Err(wrong(
                "orders of one sender and account changed their order",
            ));
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(order) => Err(format!("{} orders are missing: {order:?}", missing.len())),
    }
}
