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

/// Orders of which the second has a key that is too long, and the others are ann's.
fn with_a_long_key() -> Vec<Order> {
    vec![
        order("ann", 1),
        order(&"x".repeat(70_000), 2),
        order("ann", 3),
    ]
}

/// Keys were written out before a `split`, and one that could not be ended the run as a bug of Wallaroo.
#[test]
fn a_long_key_behind_a_split_fails_the_stage_that_needs_its_object() {
    let app = || {
        let accounts = State::<Account>::new("accounts");
        let orders = source("orders", iter(with_a_long_key())).key_by(|order| &order.customer);
        let (even, odd) = orders.split(|order| order.amount % 2 == 0);
        let even = even.to_state(&accounts, Account::add).end();
        App::new("shop").add(even).add(odd.end())
    };
    let error = error(app);
    assert_eq!(error.code(), Code::KeyTooLong, "{error}");
    assert_eq!(error.kind(), ErrorKind::User);
    let text = error.to_string();
    assert!(text.contains("the stage \"Account::add\""), "{text}");
    assert!(text.contains("record 2"), "{text}");
}

#[test]
fn a_long_key_behind_a_split_follows_the_policy_of_the_stage() {
    for workers in [1, 2] {
        let accounts = State::<Account>::new("accounts");
        let totals = memory();
        let orders = source("orders", iter(with_a_long_key())).key_by(|order| &order.customer);
        let (some, none) = orders.split(|order| order.amount > 0);
        let some = some
            .to_state(&accounts, Account::add)
            .on_error(OnError::Skip)
            .to_sink("totals", totals.clone());
        let app = App::new("shop").add(some).add(none.end());
        ending::run(app, Options::with_workers(workers)).expect("it completes");
        let expected = [("ann", 1, 1), ("ann", 2, 4)];
        assert_eq!(
            totals.take(),
            expected.map(|(customer, orders, sum)| (customer.to_owned(), orders, sum))
        );
    }
}

/// No stage behind the split looks for an object: the key is never needed.
#[test]
fn a_long_key_that_no_stage_needs_is_no_error() {
    let out = memory();
    let orders = source("orders", iter(with_a_long_key())).key_by(|order| &order.customer);
    let (some, none) = orders.split(|order| order.amount > 0);
    let some = some
        .to(|order: &Order| Some(order.amount))
        .to_sink("out", out.clone());
    let app = App::new("shop").add(some).add(none.end());
    ending::run(app, Options::default()).expect("it completes");
    assert_eq!(out.take(), [1, 2, 3]);
}

/// A stage with state that is two exchanges away from the other source: the way there stays on the worker, and keys
/// go along with the messages.
#[test]
fn a_long_key_on_the_way_to_another_region_follows_the_policy_of_the_stage() {
    type ToRegion = fn(wallaroo::Stream<Order>) -> wallaroo::Stream<Order>;
    let ways: [ToRegion; 2] = [
        |orders| orders.to(|order: &Order| Some(order.clone())).named("copy"),
        |orders| orders.split(|order| order.amount > 0).0,
    ];
    for (workers, way) in [(1, ways[0]), (2, ways[0]), (1, ways[1]), (2, ways[1])] {
        let (accounts, others) = (
            State::<Account>::new("accounts"),
            State::<Account>::new("others"),
        );
        let totals = memory();
        let far = source("more", iter([order("ben", 7)]))
            .key_by(|order| &order.customer)
            .to_state(&accounts, |_: &mut Account, order: &Order| {
                Some(order.clone())
            })
            .named("first")
            .key_by(|order| &order.customer);
        let near = source("orders", iter(with_a_long_key())).key_by(|order| &order.customer);
        let joined = way(near)
            .merge(far)
            .to_state(&others, Account::add)
            .on_error(OnError::Skip)
            .to_sink("totals", totals.clone());
        ending::run(App::new("shop").add(joined), Options::with_workers(workers))
            .expect("it completes");
        let mut totals = totals.take();
        totals.sort();
        let expected = [("ann", 1, 1), ("ann", 2, 4), ("ben", 1, 7)];
        assert_eq!(
            totals,
            expected.map(|(customer, orders, sum)| (customer.to_owned(), orders, sum))
        );
    }
}

/// The key is looked for a second time behind a `split`: an extractor that fails only then fails like any function.
#[test]
fn an_extractor_that_fails_the_second_time_is_told_as_a_failure_of_the_program() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let calls = std::sync::Arc::new(AtomicU32::new(0));
    let accounts = State::<Account>::new("accounts");
    let orders = source("orders", iter([order("ann", 1)])).key_by(move |order: &Order| {
        assert!(calls.fetch_add(1, Ordering::SeqCst) == 0, "only once");
        &order.customer
    });
    let (some, none) = orders.split(|order| order.amount > 0);
    let some = some.to_state(&accounts, Account::add).end();
    let app = App::new("shop").add(some).add(none.end());
    let error = ending::failure(app, Options::default());
    assert_eq!(error.code(), Code::UserPanic, "{error}");
    assert!(error.to_string().contains("only once"), "{error}");
}
