//! Random numbers that no other process draws.
//!
//! **Invariants.** They come from the operating system; nothing else in the libraries is random without a seed.

/// The next one.
///
/// # Panics
/// When the system has no random numbers, which no supported one does.
pub(crate) fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    u128::from_le_bytes(bytes)
}
