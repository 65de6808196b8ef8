//! The classes of state objects that scenarios are made of, and what their stages do.
//!
//! **Invariants.** Every language has the same ones under the same names.

use serde::{Deserialize, Serialize};
use wallaroo::testing::START;
use wallaroo::{Context, StateObject};

use crate::functions::Event;

/// What a stage does to an object.
pub type Operation<S> =
    fn(&mut S, &Event, &mut Context<'_, Event>) -> Result<Option<Event>, String>;

/// A class.
pub trait Class: StateObject {
    /// The operation of this name.
    fn operation(name: &str) -> Option<Operation<Self>>;
}

/// Number and sum of the events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Total {
    count: i64,
    total: i64,
}

impl Class for Total {
    fn operation(name: &str) -> Option<Operation<Self>> {
        Some(match name {
            // The sum with this event.
            "add" => |object, event, _| {
                object.add(event);
                Ok(Some(event.with_value(object.total)))
            },
            // The number of events with this one.
            "count" => |object, event, _| {
                object.add(event);
                Ok(Some(event.with_value(object.count)))
            },
            // Nothing.
            "keep" => |object, event, _| {
                object.add(event);
                Ok(None)
            },
            // The sum without this event.
            "ask" => |object, event, _| Ok(Some(event.with_value(object.total))),
            // As `add`; fails above ten, when the object has changed already.
            "add_to_ten" => |object, event, _| {
                object.add(event);
                match object.total {
                    ..=10 => Ok(Some(event.with_value(object.total))),
                    _ => Err(format!("{} is more than ten", object.total)),
                }
            },
            // As `add`; an event with value 0 emits -1 before the sum, and forgets the object.
            "add_until_zero" => |object, event, context| {
                object.add(event);
                if event.value == 0 {
                    context.emit(event.with_value(-1));
                    context.forget();
                }
                Ok(Some(event.with_value(object.total)))
            },
            _ => return None,
        })
    }
}

impl Total {
    fn add(&mut self, event: &Event) {
        self.count += 1;
        self.total += event.value;
    }
}

/// What became of [`Total`]: one field renamed, one added, the other order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Account {
    #[serde(alias = "total")]
    balance: i64,
    #[serde(default)]
    largest: i64,
    count: i64,
}

impl Class for Account {
    fn operation(name: &str) -> Option<Operation<Self>> {
        Some(match name {
            // Emits the number of events and the largest since there is one, then the balance.
            "add" => |object, event, context| {
                object.count += 1;
                object.balance += event.value;
                object.largest = object.largest.max(event.value);
                context.emit(event.with_value(object.count));
                context.emit(event.with_value(object.largest));
                Ok(Some(event.with_value(object.balance)))
            },
            _ => return None,
        })
    }
}

/// When the object was made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Session {
    began_s: Option<u64>,
}

impl Class for Session {
    fn operation(name: &str) -> Option<Operation<Self>> {
        Some(match name {
            // Seconds since the first event of the object.
            "age" => |object, event, context| {
                let now_s = context.now().since(START).as_secs();
                let age_s = now_s - *object.began_s.get_or_insert(now_s);
                Ok(Some(
                    event.with_value(i64::try_from(age_s).unwrap_or(i64::MAX)),
                ))
            },
            _ => return None,
        })
    }
}
