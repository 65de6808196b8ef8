//! Every example writes what is in its `expected` file, whatever the number of workers.
//!
//! Lines of one key are in order; lines of different keys interleave freely.

mod support;

use std::collections::BTreeMap;
use std::fs;

use support::{path, program, run};

/// Lines by key, each key's in order.
fn by_key(text: &str, key: fn(&str) -> &str) -> BTreeMap<&str, Vec<&str>> {
    let mut lines = BTreeMap::<_, Vec<_>>::new();
    for line in text.lines() {
        lines.entry(key(line)).or_default().push(line);
    }
    lines
}

fn check(binary: &str, expected: &str, key: fn(&str) -> &str) {
    let expected = fs::read_to_string(path(expected)).expect("the file is there");
    for workers in ["1", "2", "4"] {
        let ended = run(program(binary).args(["--workers", workers]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(
            by_key(&ended.stdout, key),
            by_key(&expected, key),
            "with {workers} workers"
        );
    }
}

#[test]
fn stocks() {
    // An alert is "2000-09-29  AAPL …", a row of the table "AAPL …".
    fn symbol(line: &str) -> &str {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first.starts_with("20") {
            words.next().unwrap_or_default()
        } else {
            first
        }
    }
    check(env!("CARGO_BIN_EXE_stocks"), "stocks/expected.txt", symbol);
}

/// The table has all symbols of the data with their ticks, and the log says what was done, how fast, and on how many workers.
#[test]
fn stocks_ends_with_a_table_and_a_summary() {
    let ended = run(program(env!("CARGO_BIN_EXE_stocks")).args(["--workers", "2"]));
    let rows: BTreeMap<&str, Vec<&str>> = ended
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("symbol"))
        .skip(1)
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap_or_default(), words.collect())
        })
        .collect();
    let ticks = |symbol: &str| rows[symbol][0];
    let symbols = ["AAPL", "FB", "GOOG", "IBM", "MSFT"];
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), symbols);
    assert_eq!(symbols.map(ticks), ["3270", "196", "2148", "3270", "3270"]);
    let log: Vec<&str> = ended.stderr.lines().collect();
    let [first, last] = log.as_slice() else {
        panic!("{}", ended.stderr);
    };
    assert_eq!(*first, "stocks: starting on 2 workers");
    let rest = last
        .strip_prefix("stocks: done, 12,154 messages in ")
        .expect(last);
    let (seconds, rest) = rest.split_once(" s on 2 workers (").expect(last);
    assert!(
        seconds.parse::<f64>().is_ok_and(|seconds| seconds > 0.0),
        "{last}"
    );
    let rate = rest
        .strip_suffix(" per second)")
        .expect(last)
        .replace(',', "");
    assert!(rate.parse::<u64>().is_ok_and(|rate| rate > 0), "{last}");
}

#[test]
fn alerts() {
    fn user(line: &str) -> &str {
        line.split(" has ").next().unwrap_or_default()
    }
    check(env!("CARGO_BIN_EXE_alerts"), "alerts/expected.txt", user);
}

#[test]
fn rate_limiter() {
    fn user(line: &str) -> &str {
        line.split(',').next().unwrap_or_default()
    }
    check(
        env!("CARGO_BIN_EXE_rate_limiter"),
        "rate_limiter/expected.jsonl",
        user,
    );
}

#[test]
fn market_spread() {
    fn symbol(line: &str) -> &str {
        line.split(',').next().unwrap_or_default()
    }
    check(
        env!("CARGO_BIN_EXE_market_spread"),
        "market_spread/expected.jsonl",
        symbol,
    );
}

/// The input of `market_spread` is binary: this makes it. Each symbol has tight quotes or wide ones, but not
/// both, so that decisions do not depend on how quotes and orders interleave.
#[test]
fn the_input_of_market_spread_is_what_this_makes() {
    let frame = |symbol: &str, first: u64, second: u64| {
        let mut frame = 20u32.to_be_bytes().to_vec();
        frame.extend_from_slice(format!("{symbol:<4}").as_bytes());
        frame.extend_from_slice(&first.to_be_bytes());
        frame.extend_from_slice(&second.to_be_bytes());
        frame
    };
    // symbol, price in cents, spread in cents; 0 for one from 1 to 4
    let symbols = [
        ("AAPL", 43_047, 0),
        ("BAC", 1_134, 0),
        ("FB", 2_778, 7),
        ("GE", 2_319, 0),
        ("IBM", 20_291, 12),
        ("F", 40, 3),
        ("MSFT", 2_795, 0),
    ];
    let mut expected = String::new();
    let (mut quotes, mut orders) = (Vec::new(), Vec::new());
    for number in 0..210 {
        let (symbol, price, spread) = symbols[number as usize % symbols.len()];
        let bid = price + number * 7 % 10;
        let offer = bid + if spread == 0 { 1 + number % 4 } else { spread };
        quotes.extend(frame(symbol, bid, offer));
        if number % 3 == 0 {
            let quantity = 100 * (1 + number % 9);
            orders.extend(frame(symbol, number, quantity));
            if spread > 0 {
                expected.push_str(&format!(
                    "{{\"order\":{{\"symbol\":\"{symbol}\",\"number\":{number},\"quantity\":{quantity}}},\"spread\":{spread}}}\n"
                ));
            }
        }
    }
    let made = [
        ("quotes.bin", quotes),
        ("orders.bin", orders),
        ("expected.jsonl", expected.into_bytes()),
    ];
    for (name, bytes) in made {
        let path = path("market_spread").join(name);
        if std::env::var_os("WALLAROO_MAKE_FIXTURES").is_some() {
            fs::write(&path, &bytes).expect("the file can be written");
        }
        assert_eq!(
            fs::read(&path).ok(),
            Some(bytes),
            "make {name} again with WALLAROO_MAKE_FIXTURES=1"
        );
    }
}
