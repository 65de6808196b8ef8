use wallaroo::{
    App, Code, DeadLetter, ErrorKind, OnError, Options, State, discard, iter, memory, source,
};
use wallaroo_acceptance::ending;

use crate::{Account, Order, POLICY, check, error, order, place};

fn customer(order: &Order) -> &str {
    assert!(!order.customer.is_empty(), "no customer");
    &order.customer
}

fn orders() -> Vec<Order> {
    vec![
        order("ann", 1),
        order("", 2),
        order("ben", 3),
        order("", 4),
        order("ann", 5),
    ]
}

#[test]
fn a_panic_of_a_key_extractor_tells_the_key_by() {
    let app = || {
        let accounts = State::<Account>::new("accounts");
        let orders = source("orders", iter(orders())).key_by(customer);
        App::new("shop").add(orders.to_state(&accounts, Account::add).end())
    };
    let line = line!() - 3;
    check(
        &error(app),
        ErrorKind::User,
        Code::UserPanic,
        format!(
            "the stage \"key_by@keys.rs:{line}\" ({}) panicked: no customer; \
             source \"orders\", iterator, record 2; message {{\"customer\":\"\",\"amount\":2}}; {POLICY}",
            place!(line)
        ),
    );
}

/// With one worker a key was first looked for by the stage with state, whose policy applied instead of that of
/// `key_by`.
#[test]
fn the_policy_of_key_by_applies_to_its_extractor_with_any_number_of_workers() {
    for workers in [1, 2, 4] {
        let accounts = State::<Account>::new("accounts");
        let (totals, letters) = (memory(), memory::<DeadLetter>());
        let app = App::new("shop").add(
            source("orders", iter(orders()))
                .key_by(customer)
                .named("by customer")
                .dead_letter("letters", letters.clone())
                .to_state(&accounts, Account::add)
                .to_sink("totals", totals.clone()),
        );
        ending::run(app, Options::with_workers(workers)).expect("it completes");
        let mut totals = totals.take();
        totals.sort();
        let expected = [("ann", 1, 1), ("ann", 2, 6), ("ben", 1, 3)];
        assert_eq!(
            totals,
            expected.map(|(customer, orders, sum)| (customer.to_owned(), orders, sum))
        );
        let letter = |position, amount| DeadLetter {
            stage: "by customer".to_owned(),
            source: "orders".to_owned(),
            partition: "iterator".to_owned(),
            position,
            key: None,
            message: format!("{{\"customer\":\"\",\"amount\":{amount}}}").into_bytes(),
            error: "no customer".to_owned(),
        };
        assert_eq!(letters.take(), [letter(2, 2), letter(4, 4)]);
    }
}

#[test]
fn the_policy_of_a_stage_with_state_does_not_apply_to_the_extractor() {
    let app = || {
        let accounts = State::<Account>::new("accounts");
        let orders = source("orders", iter(orders())).key_by(customer);
        let totals = orders.to_state(&accounts, Account::add);
        App::new("shop").add(totals.on_error(OnError::Skip).end())
    };
    assert_eq!(error(app).code(), Code::UserPanic);
}

#[test]
fn a_key_above_64_kib_is_refused() {
    let app = || {
        let accounts = State::<Account>::new("accounts");
        let orders = source("orders", iter([order(&"x".repeat(70_000), 1)]));
        let keyed = orders.key_by(|order| &order.customer);
        App::new("shop").add(
            keyed
                .to_state(&accounts, Account::add)
                .to_sink("out", discard()),
        )
    };
    let line = line!() - 4;
    check(
        &error(app),
        ErrorKind::User,
        Code::KeyTooLong,
        format!(
            "the stage \"Account::add\" ({}) failed: key takes 70001 bytes; keys must be at most 65536 bytes long; \
             source \"orders\", iterator, record 1; message {{\"customer\":\"{}… (69826 more bytes); {POLICY}",
            place!(line),
            "x".repeat(187)
        ),
    );
}
