//! Which key a record has.

use std::fmt;

/// How often each key occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    Uniform,
    /// The key of rank r with probability proportional to r^-1.1.
    Zipf,
}

/// A population of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) count: u32,
    pub(crate) distribution: Distribution,
}

const ZIPF_EXPONENT: f64 = 1.1;

impl Keys {
    pub(crate) const fn uniform(count: u32) -> Self {
        Self {
            count,
            distribution: Distribution::Uniform,
        }
    }

    pub(crate) const fn zipf(count: u32) -> Self {
        Self {
            count,
            distribution: Distribution::Zipf,
        }
    }

    /// An endless stream of ranks in `0..count`; the same for every call.
    pub(crate) fn ranks(self) -> impl Iterator<Item = u32> {
        let cumulative = match self.distribution {
            Distribution::Uniform => Vec::new(),
            Distribution::Zipf => cumulative_zipf(self.count),
        };
        let mut random = Random::default();
        std::iter::repeat_with(move || match self.distribution {
            Distribution::Uniform => below(random.next(), self.count),
            Distribution::Zipf => {
                let position = random.next_fraction();
                let rank = cumulative.partition_point(|up_to| *up_to < position);
                u32::try_from(rank)
                    .expect("ranks come from a u32")
                    .min(self.count - 1)
            }
        })
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            count if count >= 1_000_000 => write!(formatter, "{}m", count / 1_000_000)?,
            count if count >= 1_000 => write!(formatter, "{}k", count / 1_000)?,
            count => write!(formatter, "{count}")?,
        }
        formatter.write_str(match self.distribution {
            Distribution::Uniform => "-uniform",
            Distribution::Zipf => "-zipf",
        })
    }
}

/// The integer key of a rank: neighbouring ranks lie far apart, and no two ranks share a key.
pub(crate) fn scattered(rank: u32) -> u32 {
    rank.wrapping_mul(2_654_435_761) // Knuth 1973, section 6.4: 2^32 / golden ratio, odd
}

/// The string key of a rank: eight capital letters, different for every rank.
pub(crate) fn symbol(rank: u32) -> String {
    let mut rest = scattered(rank);
    let mut letters = [b'W'; 8]; // seven letters hold any u32
    for letter in &mut letters[1..] {
        *letter = b'A' + u8::try_from(rest % 26).expect("below 26");
        rest /= 26;
    }
    String::from_utf8_lossy(&letters).into_owned()
}

fn cumulative_zipf(count: u32) -> Vec<f64> {
    let mut sum = 0.0;
    let mut cumulative: Vec<f64> = (1..=count)
        .map(|rank| {
            sum += f64::from(rank).powf(-ZIPF_EXPONENT);
            sum
        })
        .collect();
    for up_to in &mut cumulative {
        *up_to /= sum;
    }
    cumulative
}

/// A number in `0..limit` from a random one (Lemire 2019, without the rejection: the bias is below 2^-12 here).
fn below(random: u64, limit: u32) -> u32 {
    u32::try_from(((random >> 32) * u64::from(limit)) >> 32).expect("below a u32")
}

/// A seeded generator (xorshift64*, Vigna 2016).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x5DEE_CE66_D1CE_4E5B)
    }
}

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// In `0.0..1.0`.
    pub(crate) fn next_fraction(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in f64")]
        let fraction = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        fraction
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_say_count_and_distribution() {
        assert_eq!(Keys::uniform(100).to_string(), "100-uniform");
        assert_eq!(Keys::uniform(10_000).to_string(), "10k-uniform");
        assert_eq!(Keys::zipf(1_000_000).to_string(), "1m-zipf");
    }

    #[test]
    fn uniform_ranks_cover_all_keys() {
        let seen: HashSet<u32> = Keys::uniform(100).ranks().take(10_000).collect();
        assert_eq!((seen.len(), seen.into_iter().max()), (100, Some(99)));
    }

    #[test]
    fn zipf_prefers_low_ranks() {
        let ranks: Vec<u32> = Keys::zipf(1_000).ranks().take(10_000).collect();
        let count = |rank| ranks.iter().filter(|other| **other == rank).count();
        assert!(ranks.iter().all(|rank| *rank < 1_000));
        assert!(count(0) > count(1) && count(1) > 10 * count(100));
    }

    #[test]
    fn symbols_have_eight_letters_and_differ() {
        let symbols: HashSet<String> = (0..100_000).map(symbol).collect();
        assert_eq!(symbols.len(), 100_000);
        assert!(symbols.iter().all(|symbol| symbol.len() == 8));
    }
}
