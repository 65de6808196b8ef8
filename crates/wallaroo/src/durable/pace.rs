//! How often checkpoints are made: as often as is wished, and more seldom where they would take too much of the processor.

use std::time::Duration;

/// Of a fifth of a core each: what the thread that writes may take, and what each worker may.
const SHARE: u32 = 5;

/// The time that one checkpoint took of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Of the thread that writes it, with the merges since the last.
    pub(super) writing: Duration,
    /// Of the slowest worker, to encode what had changed.
    pub(super) encoding: Duration,
}

/// How long from the beginning of one epoch to the next, after a checkpoint that cost so much.
pub(super) fn interval(wished: Duration, cost: Cost) -> Duration {
    wished.max(cost.writing.max(cost.encoding).saturating_mul(SHARE))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn duration() -> impl Strategy<Value = Duration> {
        (0_u64..100_000_000).prop_map(Duration::from_micros)
    }

    proptest! {
        #[test]
        fn no_thread_spends_more_than_a_fifth_on_checkpoints(wished in duration(), writing in duration(), encoding in duration()) {
            let found = interval(wished, Cost { writing, encoding });
            prop_assert!(found >= wished);
            prop_assert!(writing * 5 <= found && encoding * 5 <= found);
            prop_assert!(found == wished || found == writing * 5 || found == encoding * 5);
        }
    }

    #[test]
    fn what_costs_nothing_changes_nothing_and_what_never_ends_is_never_again() {
        let second = Duration::from_secs(1);
        assert_eq!(interval(second, Cost::default()), second);
        let endless = Cost {
            writing: Duration::MAX,
            encoding: Duration::ZERO,
        };
        assert_eq!(interval(second, endless), Duration::MAX);
    }
}
