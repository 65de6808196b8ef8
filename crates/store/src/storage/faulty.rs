//! [`Faulty`]: a storage that fails as directories and networks fail, by a seed.
//!
//! **Invariants.** The same calls with the same seed meet the same faults. What the wrapped storage promises is kept: an
//! object is whole or not there, and what a successful call has made or shown survives [`Faulty::power_loss`].

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_core::{Clock as _, SimulatedClock, Timestamp};

use super::{Created, ErrorKind, ObjectInfo, Storage, StorageError, Upload};

/// What goes wrong, and how often.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Decides everything random.
    pub seed: u64,
    /// Of a thousand calls, how many fail without any effect.
    pub before_per_mille: u32,
    /// Of a thousand calls, how many have their effect and fail nevertheless, so that the caller cannot know.
    pub after_per_mille: u32,
    /// Of a thousand changes, how many get no answer for a time: until then whoever asks again gets none either. It has its effect at
    /// once, or then, whether anybody asks again or not, or not before it is asked for again.
    pub slow_per_mille: u32,
    /// The longest of these times.
    pub latency: Duration,
    /// How many bytes may be written until there is no space left; deletions give nothing back. No limit if absent.
    pub space_bytes: Option<u64>,
    /// The process dies with the call of this number, counted from 0, before or after its effect; it and all later calls
    /// fail. Never if absent.
    pub dies_at_call: Option<u64>,
}

/// Called before each call with what is tried and the object's name: to let time pass, or to note what happens.
pub type BeforeCall = Box<dyn Fn(&'static str, &str) + Send + Sync>;

/// A storage with faults in front of it.
pub struct Faulty {
    inner: Arc<dyn Storage>,
    before_call: Option<BeforeCall>,
    clock: SimulatedClock,
    state: Mutex<Weather>,
}

struct Weather {
    faults: Faults,
    random: u64,
    calls: u64,
    dead: bool,
    /// Changes that are not answered, and until when.
    unanswered: BTreeMap<(&'static str, String), Timestamp>,
    /// Objects that will be there at some time, unless something else has their name by then.
    late: Vec<(Timestamp, String, Vec<u8>)>,
    /// Changes that the loss of power may undo: what was there before, and absent if nothing was.
    unsettled: BTreeMap<String, Option<Vec<u8>>>,
}

/// What happens to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    FailsBefore(ErrorKind),
    FailsAfter(ErrorKind),
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("place", &self.inner.place())
            .field("faults", &self.lock().faults)
            .finish_non_exhaustive()
    }
}

impl Faulty {
    /// Puts faults in front of a storage.
    #[must_use]
    pub fn new(inner: Arc<dyn Storage>, faults: Faults) -> Self {
        Faulty {
            inner,
            before_call: None,
            clock: SimulatedClock::default(),
            state: Mutex::new(Weather {
                random: faults.seed,
                faults,
                calls: 0,
                dead: false,
                unanswered: BTreeMap::new(),
                late: Vec::new(),
                unsettled: BTreeMap::new(),
            }),
        }
    }

    /// Has a function called before each call, on the caller's thread.
    #[must_use]
    pub fn before_each_call(mut self, hook: BeforeCall) -> Self {
        self.before_call = Some(hook);
        self
    }

    /// With the time by which it is slow; nothing passes unless somebody lets it.
    #[must_use]
    pub fn with_clock(mut self, clock: SimulatedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Whether a change waits for its answer.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        let now = self.clock.now();
        self.lock().unanswered.values().any(|until| *until > now)
    }

    /// Other faults from here on. The random numbers go on as they are.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// The power fails and comes back: of each change that is not certain to be durable, chance decides whether it was.
    /// A process that has died with a call may call again.
    ///
    /// # Panics
    /// When the wrapped storage itself fails.
    pub fn power_loss(&self) {
        let mut state = self.lock();
        state.dead = false;
        state.faults.dies_at_call = None;
        state.unanswered.clear();
        for (name, before) in std::mem::take(&mut state.unsettled) {
            if state.chance(500) {
                continue;
            }
            match before {
                Some(bytes) => self.inner.replace(&name, &bytes),
                None => self.inner.delete(&name),
            }
            .expect("the wrapped storage does not fail");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Weather> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a call that writes so many bytes.
    fn fate(&self, action: &'static str, name: &str, bytes: usize) -> Fate {
        if let Some(hook) = &self.before_call {
            hook(action, name);
        }
        self.land();
        self.lock().fate(bytes as u64)
    }

    /// The same for a change, which may be slow; `made` is what it makes, if nothing is there.
    fn fate_of_change(
        &self,
        action: &'static str,
        name: &str,
        bytes: usize,
        made: Option<&[u8]>,
    ) -> Fate {
        let fate = self.fate(action, name, bytes);
        let now = self.clock.now();
        let mut state = self.lock();
        let call = (action, name.to_owned());
        match state.unanswered.get(&call) {
            Some(until) if *until > now => return Fate::FailsBefore(ErrorKind::Unavailable),
            Some(_) => {
                state.unanswered.remove(&call);
                return fate;
            }
            None => {}
        }
        let slow = state.faults.slow_per_mille;
        if fate != Fate::Good || !state.chance(slow) {
            return fate;
        }
        let longest = state.faults.latency.as_nanos() as u64;
        let until = Timestamp(now.0 + 1 + state.draw() % longest.max(1));
        state.unanswered.insert(call, until);
        match (state.draw() % 3, made) {
            (0, _) => return Fate::FailsAfter(ErrorKind::Unavailable),
            (1, Some(made)) => state.late.push((until, name.to_owned(), made.to_vec())),
            _ => {}
        }
        Fate::FailsBefore(ErrorKind::Unavailable)
    }

    /// What was to be there by now is.
    fn land(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        let late = std::mem::take(&mut state.late);
        let (due, late) = late.into_iter().partition(|(due, ..)| *due <= now);
        state.late = late;
        drop(state);
        let due: Vec<(Timestamp, String, Vec<u8>)> = due;
        for (_, name, bytes) in due {
            // An error is of a name that nobody could have.
            if let Ok(Created::New) = self.inner.create(&name, &bytes) {
                self.unsettle(&name, None);
            }
        }
    }

    fn error(&self, action: &'static str, name: &str, kind: ErrorKind) -> StorageError {
        let cause = match kind {
            ErrorKind::Unavailable => "injected: no answer",
            ErrorKind::Full => "injected: no space left",
            ErrorKind::Denied => "injected: not allowed",
            ErrorKind::Broken => "injected: the process has died",
        };
        StorageError {
            action,
            name: name.to_owned(),
            place: self.inner.place().to_owned(),
            cause: cause.to_owned(),
            kind,
        }
    }

    /// Notes what is there before a change that may be undone. The oldest state counts.
    fn unsettle(&self, name: &str, before: Option<Vec<u8>>) {
        self.lock()
            .unsettled
            .entry(name.to_owned())
            .or_insert(before);
    }

    /// A call that only looks. What it shows is settled.
    fn look<T>(
        &self,
        action: &'static str,
        name: &str,
        call: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match self.fate(action, name, 0) {
            Fate::Good => {
                self.settle(name);
                call()
            }
            Fate::FailsBefore(kind) | Fate::FailsAfter(kind) => Err(self.error(action, name, kind)),
        }
    }

    /// Makes what is there of the name durable; a deletion stays open.
    fn settle(&self, name: &str) {
        if let Ok(Some(_)) = self.inner.size(name) {
            self.lock().unsettled.remove(name);
        }
    }

    /// A call that changes an object; `made` is what it makes, if nothing is there.
    fn change<T>(
        &self,
        action: &'static str,
        name: &str,
        bytes: usize,
        made: Option<&[u8]>,
        call: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match self.fate_of_change(action, name, bytes, made) {
            Fate::Good => {
                let result = call()?;
                self.settle(name);
                Ok(result)
            }
            Fate::FailsBefore(kind) => Err(self.error(action, name, kind)),
            Fate::FailsAfter(kind) => {
                let before = self.inner.read(name)?;
                call()?;
                self.unsettle(name, before);
                Err(self.error(action, name, kind))
            }
        }
    }
}

impl Weather {
    fn fate(&mut self, bytes: u64) -> Fate {
        let call = self.calls;
        self.calls += 1;
        if self.dead {
            return Fate::FailsBefore(ErrorKind::Broken);
        }
        if self.faults.dies_at_call == Some(call) {
            self.dead = true;
            return if self.chance(500) {
                Fate::FailsBefore(ErrorKind::Broken)
            } else {
                Fate::FailsAfter(ErrorKind::Broken)
            };
        }
        if let Some(space) = &mut self.faults.space_bytes {
            let Some(left) = space.checked_sub(bytes) else {
                return Fate::FailsBefore(ErrorKind::Full);
            };
            *space = left;
        }
        if self.chance(self.faults.before_per_mille) {
            Fate::FailsBefore(ErrorKind::Unavailable)
        } else if self.chance(self.faults.after_per_mille) {
            Fate::FailsAfter(ErrorKind::Unavailable)
        } else {
            Fate::Good
        }
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.draw() % 1000 < u64::from(per_mille)
    }

    fn draw(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014)
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Storage for Faulty {
    fn place(&self) -> &str {
        self.inner.place()
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StorageError> {
        self.change("create", name, bytes.len(), Some(bytes), || {
            self.inner.create(name, bytes)
        })
    }

    fn upload(&self, name: &str) -> Result<Box<dyn Upload + '_>, StorageError> {
        match self.fate("create", name, 0) {
            Fate::Good => Ok(Box::new(FaultyUpload {
                faulty: self,
                name: name.to_owned(),
                bytes: Vec::new(),
            })),
            Fate::FailsBefore(kind) | Fate::FailsAfter(kind) => {
                Err(self.error("create", name, kind))
            }
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.change("replace", name, bytes.len(), None, || {
            self.inner.replace(name, bytes)
        })
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.look("read", name, || self.inner.read(name))
    }

    fn size(&self, name: &str) -> Result<Option<u64>, StorageError> {
        self.look("read", name, || self.inner.size(name))
    }

    fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.look("read", name, || self.inner.read_range(name, range))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        let objects = self.look("list", prefix, || self.inner.list(prefix))?;
        for object in &objects {
            self.settle(&object.name);
        }
        Ok(objects)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        let fate = self.fate("delete", name, 0);
        if let Fate::FailsBefore(kind) = fate {
            return Err(self.error("delete", name, kind));
        }
        if let Some(before) = self.inner.read(name)? {
            self.unsettle(name, Some(before));
            self.inner.delete(name)?;
        }
        match fate {
            Fate::FailsAfter(kind) => Err(self.error("delete", name, kind)),
            Fate::Good | Fate::FailsBefore(_) => Ok(()),
        }
    }
}

/// Keeps the bytes until it is finished: nothing of an upload can be seen before.
struct FaultyUpload<'f> {
    faulty: &'f Faulty,
    name: String,
    bytes: Vec<u8>,
}

impl Upload for FaultyUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        match self.faulty.fate("create", &self.name, bytes.len()) {
            Fate::Good => {
                self.bytes.extend_from_slice(bytes);
                Ok(())
            }
            Fate::FailsBefore(kind) | Fate::FailsAfter(kind) => {
                Err(self.faulty.error("create", &self.name, kind))
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<(), StorageError> {
        let faulty = self.faulty;
        faulty.change("create", &self.name, 0, Some(&self.bytes), || {
            let mut upload = faulty.inner.upload(&self.name)?;
            upload.write(&self.bytes)?;
            upload.finish()
        })
    }
}

#[cfg(test)]
mod tests;
