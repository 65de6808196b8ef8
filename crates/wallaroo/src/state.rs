//! States: named sets of state objects, one object per key.
//!
//! **Invariants.** Objects live in slots that the engine assigns. An object that fails a call under `Skip` or
//! `DeadLetter` is put back to what it was before. Stored forms are msgpack with named fields, so that fields
//! may be added, removed and reordered later.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use wallaroo_engine::host::StateObjects;
use wallaroo_state::{ChunkIndex, Objects, Slot};

use crate::message::StateObject;

/// A state: a name for a set of state objects of type `S`, one per key.
///
/// All stages that are given the same `State` work on the same objects.
///
/// # Example
/// ```
/// use serde::{Deserialize, Serialize};
/// use wallaroo::State;
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Stock { high: f64 }
///
/// let stocks = State::<Stock>::new("stocks");
/// assert_eq!(stocks.name(), "stocks");
/// ```
pub struct State<S> {
    name: String,
    copy: Option<fn(&S) -> S>,
    expire_after: Option<Duration>,
    objects: PhantomData<fn() -> S>,
}

impl<S: StateObject> State<S> {
    /// A state with a name, which must be unique in the application.
    pub fn new(name: impl Into<String>) -> Self {
        State {
            name: name.into(),
            copy: None,
            expire_after: None,
            objects: PhantomData,
        }
    }

    /// Drops an object when no message has come for its key for so long, as [`Context::forget`](crate::Context::forget) does.
    ///
    /// Time is what [`Context::now`](crate::Context::now) tells. An object is never dropped earlier. A message that comes later by
    /// a 32nd of the duration (2 milliseconds at least, 2 minutes at most) finds a new object. Each message counts that comes to a
    /// stage of the state, also one for which the stage fails. Less than a millisecond counts as one.
    ///
    /// With a store, the time of the last message is kept with the object, so that a restart changes nothing about when it
    /// is dropped. Objects that were stored before the state had a duration count from the start with one. All uses of a state
    /// must have the same duration: that of the first counts.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// use serde::{Deserialize, Serialize};
    /// use wallaroo::State;
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Session { clicks: u64 }
    ///
    /// let sessions = State::<Session>::new("sessions").expire_after(Duration::from_secs(30 * 60));
    /// # drop(sessions);
    /// ```
    #[must_use]
    pub fn expire_after(mut self, duration: Duration) -> Self {
        self.expire_after = Some(duration);
        self
    }

    /// Lets `Skip` and `DeadLetter` put objects back by `Clone` instead of by their stored form.
    ///
    /// Faster for small objects, and right for fields that serde skips.
    #[must_use]
    pub fn restore_by_clone(mut self) -> Self
    where
        S: Clone,
    {
        self.copy = Some(S::clone);
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn table(&self) -> wallaroo_engine::Factory<dyn StateObjects> {
        let (copy, expire_after) = (self.copy, self.expire_after);
        Arc::new(move || {
            Box::new(Table::<S> {
                objects: Objects::default(),
                copy,
                expire_after,
                saved: Saved::Nothing,
            })
        })
    }
}

impl<S> Clone for State<S> {
    fn clone(&self) -> Self {
        State {
            name: self.name.clone(),
            copy: self.copy,
            expire_after: self.expire_after,
            objects: PhantomData,
        }
    }
}

impl<S> fmt::Debug for State<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("State").field(&self.name).finish()
    }
}

/// An object as it was before a call.
enum Saved<S> {
    Nothing,
    Copy(S),
    Stored(Vec<u8>),
}

/// The objects of one state on one worker.
pub(crate) struct Table<S> {
    pub(crate) objects: Objects<S>,
    copy: Option<fn(&S) -> S>,
    expire_after: Option<Duration>,
    saved: Saved<S>,
}

impl<S: StateObject> Table<S> {
    /// Keeps what an object is now, for [`StateObjects::rollback`].
    pub(crate) fn save(&mut self, slot: Slot) -> Result<(), rmp_serde::encode::Error> {
        // Taken out first: if the user's code panics below, an older object must not be put back here.
        let old = std::mem::replace(&mut self.saved, Saved::Nothing);
        let object = self.objects.get_mut(slot);
        if let Some(copy) = self.copy {
            self.saved = Saved::Copy(copy(object));
            return Ok(());
        }
        let mut bytes = match old {
            Saved::Stored(bytes) => bytes,
            Saved::Nothing | Saved::Copy(_) => Vec::new(),
        };
        bytes.clear();
        rmp_serde::encode::write_named(&mut bytes, object)?;
        self.saved = Saved::Stored(bytes);
        Ok(())
    }
}

impl<S: StateObject> StateObjects for Table<S> {
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn reset(&mut self, slot: Slot) {
        self.objects.reset(slot);
    }

    fn release_chunk(&mut self, chunk: ChunkIndex) {
        self.objects.release_chunk(chunk);
    }

    fn rollback(&mut self, slot: Slot) -> Result<(), String> {
        let object = match std::mem::replace(&mut self.saved, Saved::Nothing) {
            Saved::Nothing => return Ok(()),
            Saved::Copy(object) => object,
            Saved::Stored(bytes) => {
                rmp_serde::from_slice(&bytes).map_err(|error| error.to_string())?
            }
        };
        *self.objects.get_mut(slot) = object;
        Ok(())
    }

    fn snapshot(&mut self, slot: Slot, bytes: &mut Vec<u8>) -> Result<(), String> {
        rmp_serde::encode::write_named(bytes, self.objects.get_mut(slot))
            .map_err(|error| error.to_string())
    }

    fn restore(&mut self, slot: Slot, bytes: &[u8]) -> Result<(), String> {
        let object = rmp_serde::from_slice(bytes).map_err(|error| error.to_string())?;
        *self.objects.get_mut(slot) = object;
        Ok(())
    }

    fn take(&mut self, slots: &[Slot]) -> Box<dyn Any + Send> {
        let taken: Vec<S> = slots.iter().map(|slot| self.objects.take(*slot)).collect();
        Box::new(taken)
    }

    fn put(&mut self, slots: &[Slot], objects: Box<dyn Any + Send>) {
        let objects = objects
            .downcast::<Vec<S>>()
            .expect("one state has objects of one type");
        for (slot, object) in slots.iter().zip(*objects) {
            *self.objects.get_mut(*slot) = object;
        }
    }

    fn memory_bytes(&self) -> Option<usize> {
        Some(self.objects.memory_bytes())
    }

    fn expire_after(&self) -> Option<Duration> {
        self.expire_after
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[derive(Default, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
    struct Fragile(u32);

    impl Clone for Fragile {
        fn clone(&self) -> Self {
            assert!(self.0 != 13, "13 cannot be copied");
            Fragile(self.0)
        }
    }

    /// An object whose copy fails was once replaced by the object that had been saved before it, of another key.
    #[test]
    fn an_object_that_cannot_be_copied_stays_what_it_is() {
        let state = State::<Fragile>::new("fragile").restore_by_clone();
        let mut table = Table {
            objects: Objects::default(),
            copy: state.copy,
            expire_after: None,
            saved: Saved::Nothing,
        };
        let (sound, broken) = (Slot(0), Slot(1));
        *table.objects.get_mut(sound) = Fragile(7);
        *table.objects.get_mut(broken) = Fragile(13);
        table.save(sound).expect("it can be copied");
        let saved = catch_unwind(AssertUnwindSafe(|| table.save(broken)));
        assert!(saved.is_err());
        table.rollback(broken).expect("nothing has been saved");
        assert_eq!(*table.objects.get_mut(broken), Fragile(13));
    }
}
