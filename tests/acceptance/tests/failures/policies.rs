use wallaroo::{App, Context, OnError, Options, State, iter, memory, source};
use wallaroo_acceptance::ending;

use crate::{Account, Order, order};

/// Runs an application with 1, 2 and 4 workers, and returns the sorted messages of its sink.
fn outputs<T: Ord + Send + std::fmt::Debug + 'static>(
    app: impl Fn(wallaroo::MemorySink<T>) -> App,
) -> Vec<T> {
    let run = |workers| {
        let out = memory();
        ending::run(app(out.clone()), Options::with_workers(workers)).expect("it completes");
        let mut messages = out.take();
        messages.sort();
        messages
    };
    let expected = run(1);
    for workers in [2, 4] {
        assert_eq!(run(workers), expected, "with {workers} workers");
    }
    expected
}

fn total(customer: &str, orders: u64, sum: i64) -> (String, u64, i64) {
    (customer.to_owned(), orders, sum)
}

/// Orders of three customers: the first of one customer fails, and so do several in a row of another.
fn orders() -> Vec<Order> {
    vec![
        order("ann", 1),
        order("ben", 13),
        order("ann", -1),
        order("ann", 13),
        order("cat", 10),
        order("ann", 4),
        order("ben", 5),
        order("ann", -2),
    ]
}

#[test]
fn a_failing_call_leaves_neither_output_nor_change_of_state() {
    for by_clone in [false, true] {
        let totals = outputs(|out| {
            let accounts = State::<Account>::new("accounts");
            let accounts = if by_clone {
                accounts.restore_by_clone()
            } else {
                accounts
            };
            App::new("shop").add(
                source("orders", iter(orders()))
                    .key_by(|order| &order.customer)
                    .to_state(&accounts, Account::add)
                    .on_error(OnError::Skip)
                    .to_sink("out", out),
            )
        });
        let expected = [
            total("ann", 1, 1),
            total("ann", 2, 5),
            total("ben", 1, 5),
            total("cat", 1, 10),
        ];
        assert_eq!(totals, expected);
    }
}

/// Emits before it fails, and forgets before it fails.
fn emits_and_forgets(
    account: &mut Account,
    order: &Order,
    context: &mut Context<'_, (String, u64, i64)>,
) -> Result<Vec<(String, u64, i64)>, String> {
    account.orders += 1;
    account.sum += order.amount;
    let line = total(&order.customer, account.orders, account.sum);
    context.emit(line.clone());
    if order.amount < 0 {
        context.forget();
        return Err("negative".to_owned());
    }
    assert!(order.amount != 13, "unlucky");
    Ok(vec![line])
}

#[test]
fn what_was_emitted_and_forgotten_before_a_failure_is_taken_back() {
    let lines = outputs(|out| {
        let accounts = State::<Account>::new("accounts");
        App::new("shop").add(
            source("orders", iter(orders()))
                .key_by(|order| &order.customer)
                .to_state_with(&accounts, emits_and_forgets)
                .on_error(OnError::Skip)
                .to_sink("out", out),
        )
    });
    let expected = [
        total("ann", 1, 1),
        total("ann", 2, 5),
        total("ben", 1, 5),
        total("cat", 1, 10),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .flat_map(|line| [line.clone(), line])
        .collect();
    assert_eq!(lines, expected);
}

fn doubled(order: &Order) -> Result<Vec<Order>, String> {
    if order.amount == 10 {
        return Err("ten".to_owned());
    }
    Ok(vec![order.clone(), order.clone()])
}

fn odd(line: &(String, u64, i64)) -> Option<(String, u64, i64)> {
    assert!(line.1 != 3, "three orders");
    Some(line.clone())
}

/// In one chain: two messages of one, a state, a stage behind it. A call that fails takes back its own output
/// only, not that of the stages before.
#[test]
fn a_failure_in_a_chain_takes_back_only_its_own_call() {
    let lines = outputs(|out| {
        let accounts = State::<Account>::new("accounts");
        App::new("shop").add(
            source("orders", iter(orders()))
                .key_by(|order| &order.customer)
                .to(doubled)
                .on_error(OnError::Skip)
                .to_state(&accounts, Account::add)
                .on_error(OnError::Skip)
                .to(odd)
                .on_error(OnError::Skip)
                .to_sink("out", out),
        )
    });
    let expected = [
        total("ann", 1, 1),
        total("ann", 2, 2),
        total("ann", 4, 10),
        total("ben", 1, 5),
        total("ben", 2, 10),
    ];
    assert_eq!(lines, expected);
}

/// Both halves of a split are one stage. Once a policy given to one half made a stage of its own, beside that of
/// the other half.
#[test]
fn a_policy_of_one_half_of_a_split_is_that_of_the_other_too() {
    let kept = outputs(|out| {
        let (even, odd) = source("numbers", iter(0..10i64)).split(|number| {
            assert!(number % 5 != 3, "ends in 3 or 8");
            number % 2 == 0
        });
        let even = even.on_error(OnError::Skip);
        App::new("shop").add(even.merge(odd).to_sink("out", out))
    });
    assert_eq!(kept, [0, 1, 2, 4, 5, 6, 7, 9]);
}

#[test]
fn a_policy_before_a_split_keeps_the_origins_of_its_messages() {
    let sides = outputs(|out| {
        let numbers = source("numbers", iter(0..10i64));
        let keyed = numbers.to(|number: &i64| {
            if number % 5 == 3 {
                Err("ends in 3 or 8")
            } else {
                Ok(Some(*number))
            }
        });
        let (even, odd) = keyed
            .on_error(OnError::Skip)
            .split(|number| number % 2 == 0);
        let even = even.to(|number: &i64| Some(("even".to_owned(), *number)));
        let odd = odd.to(|number: &i64| Some(("odd".to_owned(), *number)));
        App::new("shop").add(even.merge(odd).to_sink("out", out))
    });
    let expected = [
        ("even", 0),
        ("even", 2),
        ("even", 4),
        ("even", 6),
        ("odd", 1),
        ("odd", 5),
        ("odd", 7),
        ("odd", 9),
    ];
    assert_eq!(
        sides,
        expected.map(|(side, number)| (side.to_owned(), number))
    );
}

#[test]
fn a_forgotten_object_is_new_for_the_next_message_of_the_same_batch() {
    let lines = outputs(|out| {
        let accounts = State::<Account>::new("accounts");
        let add = |account: &mut Account, order: &Order, context: &mut Context<'_, _>| {
            account.orders += 1;
            account.sum += order.amount;
            context.emit(total(&order.customer, account.orders, account.sum));
            if order.amount == 0 {
                context.forget();
            }
        };
        let orders = [("ann", 1), ("ann", 0), ("ann", 2), ("ben", 0), ("ben", 0)];
        App::new("shop").add(
            source(
                "orders",
                iter(orders.map(|(customer, amount)| order(customer, amount))),
            )
            .key_by(|order| &order.customer)
            .to_state_with(&accounts, add)
            .to_sink("out", out),
        )
    });
    let expected = [
        total("ann", 1, 1),
        total("ann", 1, 2),
        total("ann", 2, 1),
        total("ben", 1, 0),
        total("ben", 1, 0),
    ];
    assert_eq!(lines, expected);
}
