//! An allocator that counts the bytes in use, for tests of memory.
//!
//! **Invariants.** It hands every call to the system's allocator unchanged.

#![allow(unsafe_code, reason = "an allocator is an unsafe contract")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Counting;

/// Bytes in use, if [`Counting`] is the program's allocator.
#[must_use]
pub fn bytes_in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

/// The most bytes that were in use at one time since [`forget_peak`].
#[must_use]
pub fn peak_bytes_in_use() -> usize {
    PEAK.load(Ordering::Relaxed)
}

/// Begins to look for the most bytes in use.
pub fn forget_peak() {
    PEAK.store(bytes_in_use(), Ordering::Relaxed);
}

// SAFETY: every method hands its arguments to `System` unchanged and returns what that returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let before = IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        PEAK.fetch_max(before + layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
