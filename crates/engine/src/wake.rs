//! The way from a connector's thread to the worker that owns its partition.
//!
//! A connector keeps its [`Waker`] for as long as it is open, but the worker behind it changes from one
//! generation to the next: a [`WakeSlot`] holds the present one.
//!
//! **Invariants.** A wake-up is never lost: one that comes while no worker is there wakes the next at its
//! start. Many wake-ups before the worker looks cost one.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use timely::scheduling::activate::SyncActivator;
use wallaroo_core::Waker;

/// The worker to wake, if there is one at the moment.
#[derive(Default)]
pub(crate) struct WakeSlot {
    woken: AtomicBool,
    target: Mutex<Option<SyncActivator>>,
}

impl WakeSlot {
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        let slot = Arc::clone(self);
        Waker::new(move || slot.wake())
    }

    fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.activate();
        }
    }

    fn activate(&self) {
        if let Some(activator) = self
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            // Fails only when the worker has gone, and then there is nobody to wake.
            let _ = activator.activate();
        }
    }

    /// Whether somebody has woken since the last call.
    pub(crate) fn take(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// Sets the worker to wake, and wakes it if somebody has called already.
    pub(crate) fn attach(&self, activator: SyncActivator) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(activator);
        if self.woken.load(Ordering::Acquire) {
            self.activate();
        }
    }

    pub(crate) fn detach(&self) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for WakeSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeSlot")
            .field("woken", &self.woken)
            .finish_non_exhaustive()
    }
}
