use wallaroo::{App, DeadLetter, Options, State, iter, memory, source};
use wallaroo_acceptance::ending;

use crate::{Account, Order, order};

fn letter(stage: &str, position: u64, key: Option<&str>, order: &Order, error: &str) -> DeadLetter {
    DeadLetter {
        stage: stage.to_owned(),
        source: "orders".to_owned(),
        partition: "iterator".to_owned(),
        position,
        key: key.map(str::to_owned),
        message: serde_json::to_vec(order).expect("it has a JSON form"),
        error: error.to_owned(),
    }
}

fn orders() -> Vec<Order> {
    vec![
        order("ann", 1),
        order("ben", 13),
        order("ann", -1),
        order("cat", 0),
        order("ann", 13),
    ]
}

/// Two of the customer's order and one of a friend's: letters must name the origin of the message they came
/// from, whatever its place among the messages of its parent.
fn with_friends(order: &Order) -> Result<Vec<Order>, String> {
    if order.amount == 0 {
        return Err("nothing to pay".to_owned());
    }
    let small = Order {
        amount: 100,
        ..order.clone()
    };
    Ok(vec![small, order.clone()])
}

#[test]
fn dead_letters_of_a_chain_are_complete() {
    for workers in [1, 2, 4] {
        let accounts = State::<Account>::new("accounts");
        let (letters, totals) = (memory::<DeadLetter>(), memory());
        let app = App::new("shop").add(
            source("orders", iter(orders()))
                .to(with_friends)
                .dead_letter("unpaid", letters.clone())
                .key_by(|order| &order.customer)
                .to_state(&accounts, Account::add)
                .dead_letter("refused", letters.clone())
                .to_sink("totals", totals.clone()),
        );
        ending::run(app, Options::with_workers(workers)).expect("it completes");
        let mut letters = letters.take();
        letters.sort_by_key(|letter| letter.position);
        let expected = [
            letter(
                "Account::add",
                2,
                Some("ben"),
                &order("ben", 13),
                "unlucky amount",
            ),
            letter(
                "Account::add",
                3,
                Some("ann"),
                &order("ann", -1),
                "negative amount -1",
            ),
            letter("with_friends", 4, None, &order("cat", 0), "nothing to pay"),
            letter(
                "Account::add",
                5,
                Some("ann"),
                &order("ann", 13),
                "unlucky amount",
            ),
        ];
        assert_eq!(letters, expected, "with {workers} workers");
        let mut totals = totals.take();
        totals.sort();
        let expected = [
            ("ann", 1, 100),
            ("ann", 2, 101),
            ("ann", 3, 201),
            ("ann", 4, 301),
            ("ben", 1, 100),
        ];
        let expected = expected.map(|(customer, orders, sum)| (customer.to_owned(), orders, sum));
        assert_eq!(totals, expected, "with {workers} workers");
    }
}

#[test]
fn every_message_can_become_a_dead_letter() {
    const MESSAGES: u64 = 10_000;
    for workers in [1, 3] {
        let letters = memory::<DeadLetter>();
        let refuse =
            |number: &u64| -> Result<Option<u64>, String> { Err(format!("refused {number}")) };
        let app = App::new("shop").add(
            source("numbers", iter(0..MESSAGES))
                .key_by_value(|number| number % 7)
                .to(refuse)
                .dead_letter("letters", letters.clone())
                .end(),
        );
        ending::run(app, Options::with_workers(workers)).expect("it completes");
        let mut found: Vec<_> = letters
            .take()
            .into_iter()
            .map(|letter| (letter.position, letter.key, letter.message, letter.error))
            .collect();
        found.sort();
        let expected = (0..MESSAGES).map(|number| {
            let key = Some((number % 7).to_string());
            (
                number + 1,
                key,
                number.to_string().into_bytes(),
                format!("refused {number}"),
            )
        });
        assert!(found.into_iter().eq(expected), "with {workers} workers");
    }
}
