//! How much memory messages occupy, for flow control.
//!
//! The engine cannot see into user types. What a message owns on the heap is taken to be as long as its stored
//! form, and a few messages of a batch stand for all of them.
//!
//! **Invariants.** Types that own nothing on the heap are never serialized for this. An error or a panic of the
//! user's `Serialize` counts as nothing here; it is told where the message is really needed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use wallaroo_core::Messages;
use wallaroo_core::messages::downcast;
use wallaroo_engine::Sizer;

/// The function that estimates the bytes of messages of type `T`; none where their size says it all.
pub(crate) fn sizer<T: Serialize + Send + 'static>() -> Option<Sizer> {
    std::mem::needs_drop::<T>().then_some(estimate::<T> as Sizer)
}

/// The largest of the first, middle and last message, times their number.
fn estimate<T: Serialize + Send + 'static>(messages: &dyn Messages) -> usize {
    let messages = downcast::<Vec<T>>(messages);
    let Some(last) = messages.len().checked_sub(1) else {
        return 0;
    };
    let mut samples = vec![0, last / 2, last];
    samples.dedup();
    let bytes = samples
        .into_iter()
        .map(|index| stored_bytes(&messages[index]));
    let largest = bytes.max().unwrap_or(0);
    messages.len() * (size_of::<T>() + largest)
}

fn stored_bytes<T: Serialize>(message: &T) -> usize {
    let mut counter = Counter(0);
    let written = catch_unwind(AssertUnwindSafe(|| {
        rmp_serde::encode::write(&mut counter, message)
    }));
    drop(written);
    counter.0
}

/// Counts bytes instead of keeping them.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_count_with_what_they_own() {
        let texts: Vec<String> = vec!["x".repeat(1000); 10];
        let estimated = sizer::<String>().expect("strings own their text")(&texts);
        assert!((10_000..11_000).contains(&estimated), "{estimated}");
    }

    #[test]
    fn plain_messages_are_not_looked_into() {
        assert!(sizer::<(u64, f64)>().is_none());
    }
}
