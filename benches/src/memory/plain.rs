//! The comparator: a hash map with owned keys.

use std::any::Any;

use crate::workload::{PlainMap, symbol};

/// A map that has grown to `objects` entries, one message each.
pub(super) fn create(objects: u32) -> Box<dyn Any> {
    let mut stocks = PlainMap::<Box<str>>::default();
    for rank in 0..objects {
        stocks
            .entry(symbol(rank).into_boxed_str())
            .or_default()
            .on_price(0, f64::from(rank));
    }
    assert_eq!(stocks.len(), objects as usize, "every rank has its own key");
    Box::new(stocks)
}
