//! Two sides in turns.

/// What the runs of both sides gave, in the order of the runs.
#[derive(Debug)]
pub(crate) struct Interleaved<S> {
    /// Empty while the subject does not exist.
    pub(crate) subject: Vec<S>,
    pub(crate) comparator: Vec<S>,
}

/// Calls subject and comparator in turns, `runs` times each.
pub(crate) fn interleave<S>(
    runs: usize,
    mut subject: Option<impl FnMut() -> S>,
    mut comparator: impl FnMut() -> S,
) -> Interleaved<S> {
    let mut samples = Interleaved {
        subject: Vec::new(),
        comparator: Vec::new(),
    };
    for _ in 0..runs {
        if let Some(subject) = &mut subject {
            samples.subject.push(subject());
        }
        samples.comparator.push(comparator());
    }
    samples
}

/// `f(subject, comparator)` of each pair of neighbouring runs; empty while the subject does not exist.
pub(crate) fn pairs<S>(samples: &Interleaved<S>, f: impl Fn(&S, &S) -> f64) -> Vec<f64> {
    samples
        .subject
        .iter()
        .zip(&samples.comparator)
        .map(|(subject, comparator)| f(subject, comparator))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn sides_take_turns() {
        let order = RefCell::new(String::new());
        let call = |side: char, value: f64| {
            order.borrow_mut().push(side);
            value
        };
        let samples = interleave(3, Some(|| call('a', 4.0)), || call('b', 2.0));
        assert_eq!(order.borrow().as_str(), "ababab");
        assert_eq!(
            pairs(&samples, |subject, comparator| subject / comparator),
            [2.0, 2.0, 2.0]
        );
    }
}
