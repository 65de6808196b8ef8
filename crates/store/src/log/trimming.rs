//! Which records may be deleted.
//!
//! **Invariants.** Only an owner trims, and only below its own last record; so the highest number ever used is never trimmed,
//! which [`protocol`](super::protocol) relies on.

use std::collections::BTreeSet;

/// The numbers to delete, in ascending order: those of `listed` that are not among the `newest` up to `last`, the number of the
/// owner's last record, and not `kept`. At least the owner's last record stays.
#[must_use]
pub fn plan(
    listed: impl IntoIterator<Item = u64>,
    last: u64,
    newest: u64,
    kept: &BTreeSet<u64>,
) -> Vec<u64> {
    let floor = last.saturating_sub(newest.max(1) - 1);
    let listed: BTreeSet<u64> = listed.into_iter().collect();
    listed
        .into_iter()
        .filter(|number| *number < floor && !kept.contains(number))
        .collect()
}
