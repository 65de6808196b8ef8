//! Opening a store: whose it is, where to go on from, and the fence.
//!
//! **Invariants.** Nothing is fenced for a start that cannot succeed: application, base and its objects are looked at before, and
//! what could change meanwhile again after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Head, Store};
use crate::application::Application;
use crate::commit::Commit;
use crate::error::StoreError;
use crate::log::access::{Body, Fence, Found, Log};
use crate::log::entry::Entry;
use crate::log::protocol::{Base, Opened, Opening, Owner};
use crate::log::record;
use crate::object_name::ObjectKind;
use crate::savepoint::Savepoint;
use crate::storage::Storage;

/// How a store is opened.
pub struct OpenOptions {
    /// The application's name.
    pub application: String,
    /// The number of key groups.
    pub key_groups: u16,
    /// Whether to go on when another process opens the store at the same time: it is fenced then.
    pub take_over: bool,
    /// Where to go on from; the newest commit if absent.
    pub base: Option<StartFrom>,
    /// How many commits are kept, beside savepoints: at least 1.
    pub retain: usize,
    /// Asked whether the application fits the commit to go on from, before anything is fenced.
    pub accepts: Box<Accepts>,
    /// Who opens it, for people: `process 4711`.
    pub process: String,
    /// The time in milliseconds since the Unix epoch. Nothing is decided by it.
    pub clock: Box<dyn Fn() -> u64 + Send>,
    /// Random numbers that no other process draws. Safety depends on them.
    pub nonces: Box<dyn FnMut() -> u128 + Send>,
}

/// Says whether to go on from a commit. Where that means to go back, it gets the newest commit too, if it can be read.
pub type Accepts = dyn Fn(&Commit, Option<&Commit>) -> Result<(), StoreError> + Send;

/// A commit to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// The kept commit of this number.
    Number(u64),
    /// The commit of this savepoint.
    Savepoint(String),
}

impl OpenOptions {
    /// Goes on from the newest commit, and keeps three.
    #[must_use]
    pub fn new(
        application: &str,
        key_groups: u16,
        clock: Box<dyn Fn() -> u64 + Send>,
        nonces: Box<dyn FnMut() -> u128 + Send>,
    ) -> Self {
        OpenOptions {
            application: application.to_owned(),
            key_groups,
            take_over: false,
            base: None,
            retain: 3,
            accepts: Box::new(|_, _| Ok(())),
            process: String::new(),
            clock,
            nonces,
        }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("application", &self.application)
            .field("key_groups", &self.key_groups)
            .field("take_over", &self.take_over)
            .field("base", &self.base)
            .field("retain", &self.retain)
            .finish_non_exhaustive()
    }
}

/// The checkpoint that a process goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The number of its commit record.
    pub number: u64,
    /// What it consists of.
    pub commit: Commit,
}

impl Store {
    /// Takes a store over from whoever had it, or makes a new one where there is none.
    ///
    /// # Errors
    /// When the store is of another application, of another number of key groups or of a later release; when there is no
    /// such base, or objects of it are missing; when a record is damaged; and when the storage fails.
    pub fn open(
        storage: Arc<dyn Storage>,
        mut options: OpenOptions,
    ) -> Result<(Store, Option<Recovered>), StoreError> {
        let id = (options.nonces)();
        Application::new(&options.application, options.key_groups, id).claim(&*storage)?;
        let bases = Bases {
            storage: &*storage,
            log: Log::new(Arc::clone(&storage)),
        };
        let base = match &options.base {
            None => Base::Newest,
            Some(StartFrom::Number(number)) => Base::Number(*number),
            Some(StartFrom::Savepoint(name)) => Base::Number(bases.savepoint(name)?.number),
        };
        let opening = Opening::new((options.nonces)(), base, options.take_over);
        let mut keeps = Vec::new();
        let (opened, last_checksum) = bases.log.open(opening, &mut |tail, fence| {
            keeps = bases.check(tail, fence, &*options.accepts)?;
            Ok(Fence {
                base: fence.follows,
                keeps: keeps.clone(),
                time_ms: (options.clock)(),
                process: options.process.clone(),
            })
        })?;
        let owner = bases.owner(opened?)?;
        let found = owner.head.map(|head| bases.commit(head)).transpose()?;
        let recovered = found.as_ref().map(|(found, commit)| Recovered {
            number: found.entry.number,
            commit: commit.clone(),
        });
        let head = found.map(|(found, commit)| Head {
            epoch: commit.epoch,
            checksum: found.checksum,
            is_acknowledged: true,
        });
        let log = bases.log;
        let store = Store {
            storage,
            log,
            owner,
            last_checksum,
            head,
            keeps,
            retain: options.retain.max(1),
            pending: None,
            is_fenced: false,
            has_committed: false,
            named: BTreeMap::new(),
            clock: options.clock,
            nonces: options.nonces,
        };
        Ok((store, recovered))
    }
}

/// What can be gone on from.
struct Bases<'a> {
    storage: &'a dyn Storage,
    log: Log,
}

impl Bases<'_> {
    fn savepoint(&self, name: &str) -> Result<Savepoint, StoreError> {
        let Some(savepoint) = Savepoint::read(self.storage, name)? else {
            let names = Savepoint::list(self.storage)?;
            let names: Vec<String> = names
                .iter()
                .map(|found| format!("{:?}", found.name))
                .collect();
            return Err(self.not_found(format!("savepoint {name:?}"), "savepoints", &names));
        };
        savepoint.commit(self.storage, &self.log)?;
        Ok(savepoint)
    }

    fn not_found(&self, what: String, kind: &str, there_are: &[String]) -> StoreError {
        let advice = match there_are {
            [] => format!("it has no {kind} at all"),
            _ => format!("choose one of its {kind}: {}", there_are.join(", ")),
        };
        StoreError::NotFound {
            place: self.storage.place().to_owned(),
            what,
            advice,
        }
    }

    /// Whether a fence behind this tail has a base that can be gone on from; and what is kept beside it.
    fn check(
        &self,
        tail: Option<&Found>,
        fence: &Entry,
        accepts: &Accepts,
    ) -> Result<Vec<u64>, StoreError> {
        let head = tail.and_then(|tail| tail.entry.head());
        let keeps = match tail.map(|tail| &tail.body) {
            None => Vec::new(),
            Some(Body::Fence(fence)) => fence.keeps.clone(),
            Some(Body::Commit(commit)) => commit.keeps.clone(),
        };
        let Some(base) = fence.follows else {
            return Ok(Vec::new());
        };
        if Some(base) == head {
            accepts(&self.commit(base)?.1, None)?;
            return Ok(keeps);
        }
        let savepoints = Savepoint::list(self.storage)?;
        let mut kept: BTreeSet<u64> = savepoints.iter().map(|found| found.number).collect();
        kept.extend(head);
        kept.extend(keeps);
        if !kept.contains(&base) {
            let numbers: Vec<String> = kept.iter().map(u64::to_string).collect();
            return Err(self.not_found(format!("kept commit {base}"), "commits", &numbers));
        }
        // one that is damaged is a reason to go back; sinks find out by themselves whether they are beyond the base
        let newest = head.and_then(|head| self.log.read(head).ok().flatten());
        let newest = newest.as_ref().and_then(|found| match &found.body {
            Body::Commit(commit) => Some(&**commit),
            Body::Fence(_) => None,
        });
        accepts(&self.commit(base)?.1, newest)?;
        // what the base kept beside it may have been given up by later commits
        Ok(Vec::new())
    }

    /// A commit of which all objects are there.
    fn commit(&self, number: u64) -> Result<(Found, Commit), StoreError> {
        let named_by = format!("commit {number}");
        let missing = |object: String, named_by: &str| StoreError::Missing {
            object,
            named_by: named_by.to_owned(),
            place: self.storage.place().to_owned(),
        };
        let Some(found) = self.log.read(number)? else {
            return Err(missing(record::name(number), "the newest record"));
        };
        let Body::Commit(commit) = &found.body else {
            return Err(StoreError::Corrupt {
                object: record::name(number),
                place: self.storage.place().to_owned(),
                what: "it is a fence, and a later record names it as a commit".to_owned(),
            });
        };
        let commit = Commit::clone(commit);
        let mut there = BTreeSet::new();
        for kind in ObjectKind::ALL {
            let listed = self.storage.list(kind.folder())?;
            there.extend(listed.into_iter().map(|object| object.name));
        }
        if let Some(name) = commit.objects().find(|name| !there.contains(*name)) {
            return Err(missing(name.to_owned(), &named_by));
        }
        Ok((found, commit))
    }

    fn owner(&self, opened: Opened) -> Result<Owner, StoreError> {
        let by = match opened {
            Opened::Owner(owner) => return Ok(owner),
            Opened::Refused { by } => format!(
                " at the same moment, with record {}, generation {}",
                by.number, by.generation
            ),
            Opened::Unclear | Opened::Vanished => {
                " again and again, while this one tried to".to_owned()
            }
        };
        let place = self.storage.place().to_owned();
        Err(StoreError::Fenced { place, by })
    }
}
