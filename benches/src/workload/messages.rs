//! The messages of the in-memory workloads: bare records with integer keys, and ticks with string keys.

use std::fmt::Debug;
use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wallaroo::Stream;

use crate::workload::Stock;
use crate::workload::keys::{scattered, symbol};

/// The map that a program without a framework would use.
pub(crate) type PlainMap<K> = HashMap<K, Stock, RandomState>;

/// A message of the stock workload.
pub(crate) trait Message:
    Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The key as the plain map owns it.
    type Key: Hash + Eq;

    /// The message about the stock of this rank.
    fn new(ts: u64, price: f64, rank: u32) -> Self;

    /// Position in the input, or arrival time in nanoseconds.
    fn ts(&self) -> u64;

    fn price(&self) -> f64;

    /// The stock of the message in a plain map; a default one if it is new.
    fn stock<'a>(&self, stocks: &'a mut PlainMap<Self::Key>) -> &'a mut Stock;

    /// The thread that owns the key of the message, of `workers` in a hand-written exchange.
    fn owner(&self, workers: usize) -> usize;

    /// The stream with the key of each message.
    fn key_by(stream: Stream<Self>) -> Stream<Self>;
}

/// A bare record of 24 bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rec {
    pub(crate) ts: u64,
    pub(crate) price: f64,
    pub(crate) key: u32,
}

/// A message with a key of eight letters, as a decoder would make it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tick {
    pub(crate) ts: u64,
    pub(crate) price: f64,
    pub(crate) symbol: String,
}

impl Message for Rec {
    type Key = u32;

    fn new(ts: u64, price: f64, rank: u32) -> Self {
        Self {
            ts,
            price,
            key: scattered(rank),
        }
    }

    #[inline]
    fn ts(&self) -> u64 {
        self.ts
    }

    #[inline]
    fn price(&self) -> f64 {
        self.price
    }

    #[inline]
    fn stock<'a>(&self, stocks: &'a mut PlainMap<u32>) -> &'a mut Stock {
        stocks.entry(self.key).or_default()
    }

    #[inline]
    fn owner(&self, workers: usize) -> usize {
        // One multiplication mixes well enough for two threads; its upper half is the better one.
        range(
            u64::from(self.key).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            workers,
        )
    }

    fn key_by(stream: Stream<Self>) -> Stream<Self> {
        stream.key_by(|record| &record.key)
    }
}

impl Message for Tick {
    type Key = Box<str>;

    fn new(ts: u64, price: f64, rank: u32) -> Self {
        Self {
            ts,
            price,
            symbol: symbol(rank),
        }
    }

    #[inline]
    fn ts(&self) -> u64 {
        self.ts
    }

    #[inline]
    fn price(&self) -> f64 {
        self.price
    }

    #[inline]
    fn stock<'a>(&self, stocks: &'a mut PlainMap<Box<str>>) -> &'a mut Stock {
        stocks.entry_ref(self.symbol.as_str()).or_default()
    }

    #[inline]
    fn owner(&self, workers: usize) -> usize {
        range(
            FixedState::with_seed(1).hash_one(self.symbol.as_str()),
            workers,
        )
    }

    fn key_by(stream: Stream<Self>) -> Stream<Self> {
        stream.key_by(|tick| &tick.symbol)
    }
}

/// The contiguous range of hashes that `hash` lies in, of `workers` equal ones.
#[inline]
fn range(hash: u64, workers: usize) -> usize {
    let owner = ((hash >> 32) * workers as u64) >> 32;
    usize::try_from(owner).expect("below the number of workers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_has_24_bytes() {
        assert_eq!(size_of::<Rec>(), 24);
    }

    #[test]
    fn owners_share_the_keys_evenly() {
        for (name, owners) in [
            (
                "Rec",
                (0..10_000)
                    .map(|rank| Rec::new(0, 0.0, rank).owner(2))
                    .collect::<Vec<_>>(),
            ),
            (
                "Tick",
                (0..10_000)
                    .map(|rank| Tick::new(0, 0.0, rank).owner(2))
                    .collect(),
            ),
        ] {
            let second = owners.iter().sum::<usize>();
            assert!(
                (4_500..5_500).contains(&second),
                "{name}: {second} of 10000"
            );
        }
    }
}
