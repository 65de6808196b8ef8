//! Watches stock prices: one state object per symbol, alerts on the way, a table at the end.
//!
//! ```text
//! stocks --workers 2                        reads examples/data/stocks.csv
//! stocks --in ticks=tcp://127.0.0.1:7010    follows live feeds of the same CSV, until ctrl-c
//! ```

use serde::{Deserialize, Serialize};
use wallaroo::{App, State, file, latest, source, stdout};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/stocks.csv");

/// What comes in: a row of the CSV.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tick {
    #[serde(rename = "Ticker")]
    symbol: String,
    date: String,
    #[serde(rename = "Adj Close")] // the price as if the share had never been split
    price: f64,
    volume: f64,
}

/// The state object: what is known of one symbol. Wallaroo makes one for each symbol it meets.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Stock {
    ticks: u64,
    last: f64,
    high: f64,
    low: f64,
    low_since_high: f64,
    usual_volume: f64,
}

/// What goes out for each tick: where the stock stands, and whether that is news.
#[derive(Clone, Serialize, Deserialize)]
struct Report {
    symbol: String,
    stock: Stock,
    alert: Option<String>,
}

impl Stock {
    /// The state computation. Calls for one symbol come one after another, in order; symbols run in parallel.
    fn on_tick(&mut self, tick: &Tick) -> Option<Report> {
        let news = self.learn(tick.price, tick.volume);
        let Tick {
            symbol,
            date,
            price,
            ..
        } = tick;
        Some(Report {
            symbol: symbol.clone(),
            stock: self.clone(),
            alert: news.map(|news| format!("{date}  {symbol:<5}{price:>9.2}  {news}")),
        })
    }

    fn learn(&mut self, price: f64, volume: f64) -> Option<String> {
        if self.ticks == 0 {
            (self.high, self.low, self.low_since_high) = (price, price, price);
        }
        let fall_before = 1.0 - self.low_since_high / self.high; // 0.3 is 30 % below the high
        let fall = 1.0 - price / self.high;
        let news = if fall < 0.0 && fall_before >= 0.2 {
            Some(format!(
                "new high, after a fall of {:.0} %",
                100.0 * fall_before
            ))
        } else if fall >= 0.3 && fall_before < 0.3 {
            Some(format!(
                "{:.0} % below its high of {:.2}",
                100.0 * fall,
                self.high
            ))
        } else if self.ticks >= 20 && volume >= 5.0 * self.usual_volume {
            Some(format!(
                "{:.0} times its usual volume",
                volume / self.usual_volume
            ))
        } else {
            None
        };
        self.ticks += 1;
        self.last = price;
        self.low = self.low.min(price);
        self.low_since_high = self.low_since_high.min(price);
        if price > self.high {
            (self.high, self.low_since_high) = (price, price);
        }
        self.usual_volume += (volume - self.usual_volume) / self.ticks.min(20) as f64;
        news
    }
}

fn main() {
    let stocks = State::<Stock>::new("stocks");
    let table = latest(|report: &Report| &report.symbol);

    let reports = source("ticks", file(DATA).csv::<Tick>())
        .key_by(|tick| &tick.symbol)
        .to_state(&stocks, Stock::on_tick);
    let alerts = reports.clone().to(|report: &Report| report.alert.clone());

    App::new("stocks")
        .add(alerts.to_sink("alerts", stdout().lines()))
        .add(reports.to_sink("table", table.clone()))
        .main();

    println!("\nsymbol  ticks      last      high       low");
    for Report { symbol, stock, .. } in table.snapshot() {
        let Stock {
            ticks,
            last,
            high,
            low,
            ..
        } = stock;
        println!("{symbol:<6}{ticks:>7}{last:>10.2}{high:>10.2}{low:>10.2}");
    }
}
