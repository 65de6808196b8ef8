//! Moving values between buffers without a detour.
//!
//! **Invariants**
//! - The functions are safe to call with any arguments; what they ask for they check.
#![allow(
    unsafe_code,
    reason = "values can be moved out of the middle of a `Vec` only one by one, over the stack, otherwise"
)]

/// Moves value `i` to the end of `targets[destinations[i]]`, for every value; `source` is empty then.
///
/// # Panics
/// When there are not as many destinations as values, or a destination has no target. Nothing has been moved then.
pub(crate) fn scatter<T>(source: &mut Vec<T>, destinations: &[u16], targets: &mut [&mut Vec<T>]) {
    let len = source.len();
    assert_eq!(len, destinations.len(), "every message has a destination");
    let highest = destinations.iter().copied().max().map_or(0, usize::from);
    assert!(
        len == 0 || highest < targets.len(),
        "every destination has a target"
    );
    // Each target could get all. Buffers are used again, so that this allocates a few times only.
    let mut ends: Vec<*mut T> = Vec::with_capacity(targets.len());
    for target in targets.iter_mut() {
        target.reserve(len);
        ends.push(target.spare_capacity_mut().as_mut_ptr().cast());
    }
    // SAFETY: 0 is below the capacity. The values stay where they are, and belong to nobody until the loop below has given
    // them to the targets; nothing in between panics.
    unsafe { source.set_len(0) };
    for (index, destination) in destinations.iter().enumerate() {
        // SAFETY: all destinations are below the number of targets, of which each has an end.
        let end = unsafe { ends.get_unchecked_mut(usize::from(*destination)) };
        // SAFETY: `index` is below the length of `source`, and each value is copied once. Each target has room for `len`
        // values behind its own, and gets no more than that.
        unsafe {
            std::ptr::copy_nonoverlapping(source.as_ptr().add(index), *end, 1);
            *end = end.add(1);
        }
    }
    for (target, end) in targets.iter_mut().zip(ends) {
        if size_of::<T>() == 0 {
            continue;
        }
        // SAFETY: `end` was made from the target's own buffer, which has not been allocated again since.
        let filled = unsafe { end.offset_from_unsigned(target.as_ptr()) };
        // SAFETY: the loop above has written every value up to `end`.
        unsafe { target.set_len(filled) };
    }
    if size_of::<T>() == 0 {
        for destination in destinations {
            let target = &mut targets[usize::from(*destination)];
            // SAFETY: values without size lie anywhere, and a `Vec` of them has room for any number.
            unsafe { target.set_len(target.len() + 1) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::scatter;

    #[test]
    fn every_value_is_moved_once_and_in_order() {
        let held = Rc::new(());
        let value = |number: usize| (number, Rc::clone(&held));
        let mut source: Vec<_> = (0..6).map(value).collect();
        let (mut even, mut odd, mut none) = (vec![value(7)], Vec::new(), Vec::new());
        scatter(
            &mut source,
            &[0, 1, 0, 1, 0, 0],
            &mut [&mut even, &mut odd, &mut none],
        );
        assert!(source.is_empty() && none.is_empty());
        let numbers =
            |target: &Vec<(usize, Rc<()>)>| target.iter().map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(
            (numbers(&even), numbers(&odd)),
            (vec![7, 0, 2, 4, 5], vec![1, 3])
        );
        assert_eq!(Rc::strong_count(&held), 8);
        drop((even, odd));
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[test]
    fn values_without_size_are_counted() {
        let (mut source, mut one, mut two) = (vec![(); 5], Vec::new(), vec![()]);
        scatter(&mut source, &[0, 1, 1, 1, 0], &mut [&mut one, &mut two]);
        assert_eq!((source.len(), one.len(), two.len()), (0, 2, 4));
    }

    #[test]
    #[should_panic(expected = "every destination has a target")]
    fn a_destination_without_target_is_refused() {
        scatter(&mut vec![1, 2], &[0, 1], &mut [&mut Vec::new()]);
    }
}
