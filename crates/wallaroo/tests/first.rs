use serde::{Deserialize, Serialize};
use wallaroo::*;
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tick {
    #[serde(rename = "Ticker")]
    symbol: String,
    #[serde(rename = "Close")]
    close: f64,
}
#[derive(Default, Serialize, Deserialize)]
struct Stock {
    high: f64,
    n: u64,
}
impl Stock {
    fn on_tick(&mut self, t: &Tick) -> Option<(String, u64)> {
        self.n += 1;
        if t.close > self.high {
            self.high = t.close;
        }
        Some((t.symbol.clone(), self.n))
    }
}
#[test]
fn stocks() {
    for workers in [1, 2, 3] {
        let out = memory::<(String, u64)>();
        let stocks = State::<Stock>::new("stocks");
        let t = std::time::Instant::now();
        App::new("stocks")
            .add(
                source(
                    "ticks",
                    file(concat!(
                        env!("CARGO_MANIFEST_DIR"),
                        "/../../examples/data/stocks.csv"
                    ))
                    .csv::<Tick>(),
                )
                .key_by(|t| &t.symbol)
                .to_state(&stocks, Stock::on_tick)
                .to_sink("out", out.clone()),
            )
            .run(Options::with_workers(workers))
            .unwrap();
        let mut last = std::collections::BTreeMap::new();
        let v = out.take();
        println!("{workers} {} {:?}", v.len(), t.elapsed());
        for (s, n) in v {
            let l = last.entry(s).or_insert(0);
            assert_eq!(*l + 1, n);
            *l = n;
        }
        println!("{last:?}");
    }
}
