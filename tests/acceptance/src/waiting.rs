//! Bounded waits.
//!
//! **Invariants.** A wait ends as soon as its condition holds. That it takes too long is a failure, never a
//! result.

use std::time::Duration;

use wallaroo_core::{Clock, SystemClock};

/// How long a test waits for what must come.
// Far above what any step takes on a loaded machine of two cores, below what people take for a hang.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within [`LIMIT`]; the text says `what` was waited for.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let began = clock.now();
    while !condition() {
        assert!(
            clock.now().since(began) < LIMIT,
            "waited {LIMIT:?} in vain until {what}"
        );
        std::thread::park_timeout(PAUSE);
    }
}

/// Waits until `value` has not changed for a while, and returns it: how a test finds out that everything that
/// can move has moved.
///
/// # Panics
/// When it still changes after [`LIMIT`].
pub fn until_still<T: PartialEq>(what: &str, mut value: impl FnMut() -> T) -> T {
    // Ends early only if nothing at all happens for 600 ms, and then the test sees less than there is: it can
    // pass wrongly, never fail wrongly.
    const LOOKS: u32 = 120;
    let mut last = value();
    let mut same = 0;
    until(&format!("{what} does not change any more"), || {
        let present = value();
        same = if present == last { same + 1 } else { 0 };
        last = present;
        same == LOOKS
    });
    last
}
