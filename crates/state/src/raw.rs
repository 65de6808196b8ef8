//! What needs the processor's own instructions: fetching memory ahead of time, and comparing several cells at once.
//!
//! **Invariants**
//! - Every function is safe to call with any arguments, and has a plain form for other processors.
#![allow(
    unsafe_code,
    reason = "the processor's own instructions have no safe form"
)]

/// Fetches a value into the cache: the cache lines of its first and of its last byte.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = std::ptr::from_ref(value).cast::<i8>();
        // SAFETY: a hint; any address is allowed, and this one is even valid.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(first) };
        if size_of::<T>() > align_of::<T>() {
            let last = first.wrapping_add(size_of::<T>() - 1);
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(last) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// One bit for each index at which both arrays have the wanted numbers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn equal_pairs(low: &[u32; 4], high: &[u32; 4], want_low: u32, want_high: u32) -> u32 {
    use std::arch::x86_64::{
        _mm_and_si128, _mm_castsi128_ps, _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_ps,
        _mm_set1_epi32,
    };
    // SAFETY: every x86-64 processor has SSE2, and the two loads read the 16 bytes of an array each.
    unsafe {
        let low = _mm_loadu_si128(low.as_ptr().cast());
        let high = _mm_loadu_si128(high.as_ptr().cast());
        let is_low = _mm_cmpeq_epi32(low, _mm_set1_epi32(want_low.cast_signed()));
        let is_high = _mm_cmpeq_epi32(high, _mm_set1_epi32(want_high.cast_signed()));
        _mm_movemask_ps(_mm_castsi128_ps(_mm_and_si128(is_low, is_high))).cast_unsigned()
    }
}

/// One bit for each index at which both arrays have the wanted numbers.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn equal_pairs(low: &[u32; 4], high: &[u32; 4], want_low: u32, want_high: u32) -> u32 {
    let is_equal = |(low, high): (u32, u32)| low == want_low && high == want_high;
    let bit = |(index, pair)| u32::from(is_equal(pair)) << index;
    low.iter()
        .copied()
        .zip(high.iter().copied())
        .enumerate()
        .map(bit)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_equal_where_both_numbers_are() {
        let (low, high) = ([1, 2, 1, u32::MAX], [5, 5, 5, 7]);
        let found = [(1, 5), (2, 5), (2, 7), (u32::MAX, 7)]
            .map(|(want_low, want_high)| equal_pairs(&low, &high, want_low, want_high));
        assert_eq!(found, [0b0101, 0b0010, 0, 0b1000]);
    }
}
