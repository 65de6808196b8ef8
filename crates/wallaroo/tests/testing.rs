//! The test kit, as users see it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::testing::{self, START, Test, input};
use wallaroo::{
    App, Code, Context, DeadLetter, ErrorKind, Message, State, discard, iter, memory, source,
    stdout,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tick {
    symbol: String,
    price: u64,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stock {
    high: u64,
    ticks: u64,
}

impl Stock {
    fn on_tick(&mut self, tick: &Tick) -> Result<Option<Tick>, String> {
        self.ticks += 1;
        if tick.price == 0 {
            return Err("a price is above zero".to_owned());
        }
        let is_high = tick.price > self.high;
        self.high = self.high.max(tick.price);
        Ok(is_high.then(|| tick.clone()))
    }
}

fn tick(symbol: &str, price: u64) -> Tick {
    Tick {
        symbol: symbol.to_owned(),
        price,
    }
}

fn ticks() -> Vec<Tick> {
    (0..60)
        .map(|n| tick(["A", "B", "C", "D"][n % 4], (n as u64 * 7) % 23 + 1))
        .collect()
}

fn stocks() -> App {
    let stocks = State::<Stock>::new("stocks");
    App::new("stocks").add(
        source("ticks", iter(Vec::<Tick>::new()))
            .key_by(|tick| &tick.symbol)
            .to_state(&stocks, Stock::on_tick)
            .dead_letter("failed", memory::<DeadLetter>())
            .to_sink("alerts", stdout().json()),
    )
}

#[test]
fn sinks_states_and_dead_letters_are_captured() {
    let sent = [tick("A", 3), tick("A", 0), tick("B", 1), tick("A", 4)];
    let results = testing::run(stocks(), [input("ticks", sent)]).unwrap();
    assert_eq!(
        results.sink::<String>("alerts"),
        [
            r#"{"symbol":"A","price":3}"#,
            r#"{"symbol":"B","price":1}"#,
            r#"{"symbol":"A","price":4}"#
        ]
    );
    let failed: Vec<_> = results
        .sink::<DeadLetter>("failed")
        .iter()
        .map(|letter| {
            (
                letter.position,
                letter.key.as_deref(),
                letter.error.as_str(),
            )
        })
        .collect();
    assert_eq!(failed, [(2, Some("\"A\""), "a price is above zero")]);
    let stock = |high, ticks| Some(Stock { high, ticks });
    assert_eq!(results.state_of("stocks", "A"), stock(4, 2));
    assert_eq!(results.state_of("stocks", "B"), stock(1, 1));
    assert_eq!(results.state_of::<Stock>("stocks", "C"), None);
    assert_eq!(results.state::<Stock>("stocks").len(), 2);
}

#[test]
fn one_seed_is_one_run_and_other_seeds_are_others() {
    let run = |seed| {
        let results = Test::new(stocks())
            .send("ticks", ticks())
            .workers(3)
            .seed(seed)
            .run()
            .unwrap();
        results.sink::<String>("alerts").to_vec()
    };
    let runs: Vec<_> = (0..8).map(run).collect();
    assert_eq!((0..8).map(run).collect::<Vec<_>>(), runs);
    assert!(runs.iter().any(|other| *other != runs[0]));
}

#[test]
fn a_step_lets_everything_through_before_time_moves() {
    #[derive(Default, Serialize, Deserialize)]
    struct Seen(u64);
    let seen = State::<Seen>::new("seen");
    for seed in testing::seeds(20) {
        let stream = source("numbers", iter(0u64..0))
            .key_by_value(|n| n % 5)
            .to_state_with(
                &seen,
                |seen: &mut Seen, n: &u64, context: &mut Context<'_, (u64, u64)>| {
                    seen.0 += 1;
                    context.emit((*n, context.now().since(START).as_secs()));
                },
            );
        let results = Test::new(App::new("seen").add(stream.to_sink("times", discard())))
            .workers(3)
            .seed(seed)
            .send("numbers", 0..40u64)
            .advance(Duration::from_secs(10))
            .send("numbers", 40..80u64)
            .rescale(2)
            .advance(Duration::from_secs(20))
            .send("numbers", 80..120u64)
            .run()
            .unwrap();
        let mut times = results.sink::<(u64, u64)>("times").to_vec();
        times.sort_unstable();
        let expected: Vec<_> = (0..120)
            .map(|n| (n, [0, 10, 30][n as usize / 40]))
            .collect();
        assert_eq!(times, expected);
        let counts: Vec<u64> = results
            .state::<Seen>("seen")
            .into_values()
            .map(|seen| seen.0)
            .collect();
        assert_eq!(counts, [24; 5]);
    }
}

#[test]
fn sources_without_messages_are_empty() {
    let app = App::new("merged").add(
        source("left", iter(0u64..5))
            .merge(source("right", iter(0u64..5)))
            .to_sink("all", discard()),
    );
    let results = testing::run(app, [input("right", [7u64])]).unwrap();
    assert_eq!(results.sink::<u64>("all"), [7]);
}

#[test]
fn wrong_inputs_are_refused_by_name() {
    fn check<T: Message>(source: &str, messages: [T; 1], code: Code, text: &str) {
        let test = Test::new(stocks()).seed(1).send(source, messages);
        let error = test.run().unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, code));
        assert_eq!(
            error.to_string(),
            format!("{code}: {text}; in a test with WALLAROO_SEED=1")
        );
    }
    check(
        "tocks",
        [1u64],
        Code::SendTarget,
        r#"cannot send to the source "tocks": there is "ticks""#,
    );
    check(
        "ticks",
        [1u64],
        Code::SendType,
        r#"cannot send messages of type u64 to the source "ticks": its messages are of type testing::Tick; send that type"#,
    );
}

#[test]
fn a_failure_names_the_seed() {
    let app = App::new("fails").add(
        source("numbers", iter(0u64..0))
            .to(|n: &u64| if *n == 3 { Err("three") } else { Ok(Some(*n)) })
            .end(),
    );
    let error = Test::new(app)
        .send("numbers", 0..9u64)
        .seed(5)
        .run()
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::User, Code::UserError)
    );
    assert!(error.to_string().ends_with("WALLAROO_SEED=5"), "{error}");
}

#[test]
#[should_panic(expected = r#"there is no sink "alert"; there is "failed", "alerts""#)]
fn an_unknown_sink_is_a_panic_with_the_known_ones() {
    let results = testing::run(stocks(), []).unwrap();
    let _ = results.sink::<String>("alert");
}

#[test]
#[should_panic(
    expected = "the objects of the state \"stocks\" are of type testing::Stock, not u64"
)]
fn a_state_of_another_type_is_a_panic_with_both_types() {
    let results = testing::run(stocks(), []).unwrap();
    let _ = results.state::<u64>("stocks");
}
