//! The test kit, as users see it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wallaroo::testing::{self, START, Test, input};
use wallaroo::{
    App, Code, Context, DeadLetter, ErrorKind, Message, OnError, State, discard, iter, memory,
    source, stdout,
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
    assert_eq!(failed, [(2, Some("A"), "a price is above zero")]);
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

/// A state computation that forgets at a price of one, and fails at zero.
fn forgets_at_one(
    stock: &mut Stock,
    tick: &Tick,
    context: &mut Context<'_, u64>,
) -> Result<(), String> {
    if tick.price == 1 {
        context.forget();
    }
    stock.on_tick(tick).map(|_| ())
}

/// A call that failed for a key without object once left an object with the default value behind.
#[test]
fn a_failing_call_makes_no_object() {
    let app = || {
        let stocks = State::<Stock>::new("stocks");
        App::new("stocks").add(
            source("ticks", iter(Vec::<Tick>::new()))
                .key_by(|tick| &tick.symbol)
                .to_state_with(&stocks, forgets_at_one)
                .on_error(OnError::Skip)
                .end(),
        )
    };
    let cases: [(&str, &[u64]); 7] = [
        ("first call fails", &[0]),
        ("all calls fail", &[0, 0, 0]),
        ("fails behind a forget", &[5, 1, 0]),
        ("fails behind a forget, again", &[1, 0, 1, 0, 0]),
        ("fails, then an object", &[0, 7]),
        ("object, then fails", &[7, 0, 0]),
        ("forgotten, then an object", &[0, 1, 0, 7, 0]),
    ];
    for seed in 0..20 {
        let rounds = cases.iter().map(|(_, prices)| prices.len()).max();
        let ticks = (0..rounds.unwrap_or_default()).flat_map(|round| {
            let price = move |(name, prices): &(&str, &[u64])| {
                prices.get(round).map(|price| tick(name, *price))
            };
            cases.iter().filter_map(price)
        });
        let test = Test::new(app()).send("ticks", ticks);
        let results = test.seed(seed).run().expect("failing calls are skipped");
        let found = results.state::<Stock>("stocks");
        let keys: Vec<String> = found.keys().map(ToString::to_string).collect();
        let mut expected = cases[4..].iter().map(|(name, _)| format!("{name:?}"));
        assert_eq!(keys.len(), 3, "{keys:?}");
        assert!(expected.all(|name| keys.contains(&name)), "{keys:?}");
        let whole = Stock { high: 7, ticks: 1 };
        assert!(found.values().all(|stock| *stock == whole), "{found:?}");
    }
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

/// The alerts of each symbol, in their order.
fn by_symbol(results: &testing::Results) -> BTreeMap<String, Vec<String>> {
    let mut alerts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for alert in results.sink::<String>("alerts") {
        let symbol = serde_json::from_str::<Tick>(alert)
            .expect("it is a tick")
            .symbol;
        alerts.entry(symbol).or_default().push(alert.clone());
    }
    alerts
}

#[test]
fn a_crash_changes_nothing_that_the_sinks_and_states_hold() {
    let mut sent = ticks();
    sent[20].price = 0;
    sent[41].price = 0;
    let test = |seed, workers| {
        Test::new(stocks())
            .seed(seed)
            .workers(workers)
            .send("ticks", sent[..30].to_vec())
            .advance(Duration::from_secs(1))
            .rescale(4 - workers)
            .send("ticks", sent[30..].to_vec())
    };
    for seed in testing::seeds(8) {
        for workers in [1, 3] {
            let calm = test(seed, workers).run().expect("it runs");
            for crashes in [[0, 60], [17, 17], [30, 31], [45, 50], [60, 60]] {
                let crashed = crashes.iter().fold(test(seed, workers), |test, messages| {
                    test.crash_after(*messages)
                });
                let crashed = crashed.run().expect("it goes on from its last checkpoint");
                assert_eq!(by_symbol(&crashed), by_symbol(&calm), "{crashes:?}");
                assert_eq!(
                    crashed.state::<Stock>("stocks"),
                    calm.state::<Stock>("stocks"),
                    "{crashes:?}"
                );
                let failed = |results: &testing::Results| {
                    let letters = results.sink::<DeadLetter>("failed").iter();
                    let mut keys: Vec<_> = letters.map(|letter| letter.key.clone()).collect();
                    keys.sort();
                    keys
                };
                assert_eq!(failed(&crashed), failed(&calm), "{crashes:?}");
            }
        }
    }
}

#[test]
fn a_crash_finds_what_an_object_does_not_store() {
    #[derive(Default, Serialize, Deserialize)]
    struct Visits {
        #[serde(skip)]
        count: u64,
    }
    let app = || {
        let visits = State::<Visits>::new("visits");
        let count = |visits: &mut Visits, _: &u64| {
            visits.count += 1;
            Some(visits.count)
        };
        let users = source("users", iter(Vec::<u64>::new())).key_by_value(|user| user % 2);
        App::new("visits").add(users.to_state(&visits, count).to_sink("counts", discard()))
    };
    let mut found = 0;
    for seed in testing::seeds(20) {
        let test = || Test::new(app()).seed(seed).send("users", 0..100_u64);
        let largest = |test: Test| {
            let results = test.run().expect("it runs");
            assert_eq!(results.sink::<u64>("counts").len(), 100);
            results.sink::<u64>("counts").iter().copied().max()
        };
        assert_eq!(largest(test()), Some(50));
        found += u32::from(largest(test().crash_after(80)) < Some(50));
    }
    // With some seeds there is no checkpoint before the crash.
    assert!(found > 0);
}

#[test]
fn a_crash_that_cannot_come_is_an_error_and_so_is_a_failure_after_one() {
    let error = Test::new(stocks())
        .send("ticks", ticks())
        .crash_after(61)
        .run()
        .expect_err("60 are sent");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    assert!(
        text.contains("after 61 messages") && text.contains("read only 60"),
        "{text}"
    );

    let numbers = source("numbers", iter(Vec::<u64>::new()));
    let app = App::new("failing").add(
        numbers
            .to(|number: &u64| {
                if *number == 40 {
                    return Err("forty".to_owned());
                }
                Ok(Some(*number))
            })
            .to_sink("out", discard()),
    );
    let failed = Test::new(app)
        .send("numbers", 0..50_u64)
        .crash_after(30)
        .run();
    let text = failed.expect_err("it fails for 40").to_string();
    assert!(text.contains("forty"), "{text}");
}
