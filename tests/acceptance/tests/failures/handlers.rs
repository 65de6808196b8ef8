use wallaroo::{App, Code, ErrorKind, State, discard, iter, source};

use crate::{Account, Order, POLICY, check, error, order, place};

/// Orders of one customer, the last of which has this amount.
fn orders(amount: i64) -> Vec<Order> {
    vec![order("ann", 1), order("ann", 2), order("ann", amount)]
}

fn accounts(amount: i64) -> App {
    let accounts = State::<Account>::new("accounts");
    let orders = source("orders", iter(orders(amount))).key_by(|order| &order.customer);
    App::new("shop").add(
        orders
            .to_state(&accounts, Account::add)
            .to_sink("totals", discard()),
    )
}

/// The line of `to_state` above.
const TO_STATE: u32 = 15;

#[test]
fn a_panic_of_a_state_computation_tells_stage_key_origin_and_message() {
    check(
        &error(|| accounts(13)),
        ErrorKind::User,
        Code::UserPanic,
        format!(
            "the stage \"Account::add\" ({}) panicked: unlucky amount; key \"ann\"; \
             source \"orders\", iterator, record 3; message {{\"customer\":\"ann\",\"amount\":13}}; {POLICY}",
            place!(TO_STATE)
        ),
    );
}

#[test]
fn an_error_of_a_state_computation_tells_stage_key_origin_and_message() {
    check(
        &error(|| accounts(-5)),
        ErrorKind::User,
        Code::UserError,
        format!(
            "the stage \"Account::add\" ({}) failed: negative amount -5; key \"ann\"; \
             source \"orders\", iterator, record 3; message {{\"customer\":\"ann\",\"amount\":-5}}; {POLICY}",
            place!(TO_STATE)
        ),
    );
}

#[test]
fn an_error_of_a_computation_without_state_tells_stage_origin_message_and_causes() {
    #[derive(Debug)]
    struct Refused(std::num::ParseIntError);
    impl std::fmt::Display for Refused {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot take the amount")
        }
    }
    impl std::error::Error for Refused {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    #[allow(clippy::ptr_arg, reason = "a computation takes messages by reference")]
    fn amount(text: &String) -> Result<Option<i64>, Refused> {
        text.parse().map(Some).map_err(Refused)
    }
    let texts = || source("texts", iter(["1".to_owned(), "two".to_owned()]));
    let app = || App::new("shop").add(texts().to(amount).end());
    let line = line!() - 1;
    check(
        &error(app),
        ErrorKind::User,
        Code::UserError,
        format!(
            "the stage \"amount\" ({}) failed: cannot take the amount: invalid digit found in string; \
             source \"texts\", iterator, record 2; message \"two\"; {POLICY}",
            place!(line)
        ),
    );
}

#[test]
fn a_panic_without_a_text_and_a_long_message_are_told_as_far_as_possible() {
    let app = || {
        let long = source("texts", iter(["x".repeat(300)]));
        let panics = |_: &String| -> Option<u64> { std::panic::panic_any(7) };
        App::new("shop").add(long.to(panics).end())
    };
    let line = line!() - 2;
    check(
        &error(app),
        ErrorKind::User,
        Code::UserPanic,
        format!(
            "the stage \"to@handlers.rs:{line}\" ({}) panicked: a panic without a text; \
             source \"texts\", iterator, record 1; message \"{}… (102 more bytes); {POLICY}",
            place!(line),
            "x".repeat(199)
        ),
    );
}

#[test]
fn a_panic_of_a_split_tells_stage_origin_and_message() {
    let app = || {
        let numbers = source("numbers", iter([1u64, 0]));
        let (small, large) = numbers.split(|number| 10 / number > 5);
        App::new("shop").add(small.end()).add(large.end())
    };
    let line = line!() - 3;
    check(
        &error(app),
        ErrorKind::User,
        Code::UserPanic,
        format!(
            "the stage \"split@handlers.rs:{line}\" ({}) panicked: attempt to divide by zero; \
             source \"numbers\", iterator, record 2; message 0; {POLICY}",
            place!(line)
        ),
    );
}

/// A panic while the error text was made once replaced the error by one that called itself a bug of Wallaroo.
#[test]
fn an_error_about_a_message_that_cannot_be_shown_is_told_without_it() {
    #[derive(serde::Deserialize)]
    struct Hidden;
    impl serde::Serialize for Hidden {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("it is hidden")
        }
    }
    let app = || {
        let refuse = |_: &Hidden| -> Result<(), &str> { Err("refused") };
        App::new("shop").add(source("hidden", iter([Hidden])).to(refuse).end())
    };
    let line = line!() - 2;
    check(
        &error(app),
        ErrorKind::User,
        Code::UserError,
        format!(
            "the stage \"to@handlers.rs:{line}\" ({}) failed: refused; source \"hidden\", iterator, record 1; \
             message (no JSON form: its Serialize panicked); {POLICY}",
            place!(line)
        ),
    );
}
