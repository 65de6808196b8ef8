//! Market spread: two sources meet in one state. Quotes tell the spread of a symbol; orders for it are rejected while it
//! is too wide.
//!
//! ```text
//! market_spread
//! market_spread --in quotes=tcp://127.0.0.1:7011 --in orders=tcp://127.0.0.1:7010    until ctrl-c
//! ```
//!
//! Both sources send frames: a length (four bytes, most significant first), then that many bytes of message. Each
//! source keeps its order; how quotes and orders interleave is left to them.

use serde::{Deserialize, Serialize};
use wallaroo::{App, BoxError, FrameHeader, State, file, source, stdout};

const QUOTES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/market_spread/quotes.bin");
const ORDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/market_spread/orders.bin");

/// Prices are in cents.
#[derive(Serialize, Deserialize)]
struct Quote {
    symbol: String,
    bid: u64,
    offer: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    symbol: String,
    number: u64,
    quantity: u64,
}

#[derive(Serialize, Deserialize)]
struct Rejected {
    order: Order,
    spread: u64,
}

/// The state object, which both streams use. There is no lock: its calls come one after another.
#[derive(Default, Serialize, Deserialize)]
struct Symbol {
    quote: Option<(u64, u64)>,
    /// Orders that came before the first quote.
    waiting: Vec<Order>,
}

impl Symbol {
    fn on_quote(&mut self, quote: &Quote) -> Vec<Rejected> {
        self.quote = Some((quote.bid, quote.offer));
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .iter()
            .filter_map(|order| self.on_order(order))
            .collect()
    }

    fn on_order(&mut self, order: &Order) -> Option<Rejected> {
        let Some((bid, offer)) = self.quote else {
            self.waiting.push(order.clone());
            return None;
        };
        let spread = offer.saturating_sub(bid);
        let is_too_wide = spread >= 5 || 40 * spread >= bid + offer; // 5 cents, or 5 % of the price
        is_too_wide.then(|| Rejected {
            order: order.clone(),
            spread,
        })
    }
}

/// A frame is 20 bytes: a symbol of four letters, padded with blanks, and two numbers. Which record of which source
/// could not be decoded, and its bytes, are added to errors.
fn decode(frame: &[u8]) -> Result<(String, u64, u64), BoxError> {
    let frame: &[u8; 20] = frame.try_into()?;
    let symbol = str::from_utf8(&frame[..4])?.trim_end().to_owned();
    let first = u64::from_be_bytes(frame[4..12].try_into()?);
    let second = u64::from_be_bytes(frame[12..].try_into()?);
    Ok((symbol, first, second))
}

fn quote(frame: &[u8]) -> Result<Option<Quote>, BoxError> {
    let (symbol, bid, offer) = decode(frame)?;
    Ok(Some(Quote { symbol, bid, offer }))
}

fn order(frame: &[u8]) -> Result<Option<Order>, BoxError> {
    let (symbol, number, quantity) = decode(frame)?;
    Ok(Some(Order {
        symbol,
        number,
        quantity,
    }))
}

fn main() {
    let symbols = State::<Symbol>::new("symbols");
    let header = FrameHeader::u32();
    let waited = source("quotes", file(QUOTES).framed(header).decode(quote))
        .key_by(|quote| &quote.symbol)
        .to_state(&symbols, Symbol::on_quote);
    let rejected = source("orders", file(ORDERS).framed(header).decode(order))
        .key_by(|order| &order.symbol)
        .to_state(&symbols, Symbol::on_order)
        .merge(waited);
    App::new("market_spread")
        .add(rejected.to_sink("rejected", stdout().json()))
        .main();
}
