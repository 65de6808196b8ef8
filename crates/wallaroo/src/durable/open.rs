//! Opens the store of an application: finds out whether they fit, where to go on from, and brings sinks and sources there.
//!
//! **Invariants.** Whether the application fits its checkpoint is known before another process is fenced and before a sink is
//! touched. When this returns, everything that was committed is published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use wallaroo_core::key::ANY_KIND;
use wallaroo_core::{
    Clock, Code, ConnectorError, NodeKind, Plan, Position, Publisher, SystemClock,
};
use wallaroo_engine::host::{ErasedSink, Kept};
use wallaroo_engine::{NodeCode, Program, Resume};
use wallaroo_store::checkpointer::{Recovered, StartFrom};
use wallaroo_store::commit::{Commit, PlanIdentity, SinkIdentity, SinkState, StateIdentity};
use wallaroo_store::input_log::SystemDisk;
use wallaroo_store::loader::Loader;
use wallaroo_store::lock::Lock;
use wallaroo_store::outbox::read_outbox;
use wallaroo_store::plan_check::{Allowed, compare};
use wallaroo_store::{OpenOptions, Storage, Store, StoreError, storage};

use super::committer::Committer;
use super::input::{InputLogs, InputPlace, SourceDurability, SourceLog};
use super::options::StoreOptions;
use super::staged::Staged;
use super::stored::resume_from;
use crate::app::Options;
use crate::error::{Error, ErrorKind};

/// A store that is open, for an application that does not run yet.
pub(crate) struct Opened {
    pub(crate) resume: Resume,
    pub(crate) committer: Committer,
    pub(crate) staged: Arc<Staged>,
    /// Whether nothing had been committed in it before.
    pub(crate) is_new: bool,
}

/// Where an application is kept, and what that needs of the outside.
pub(crate) struct Place {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) lock: Option<Lock>,
    /// Where the input logs are.
    pub(crate) input: InputPlace,
    /// Milliseconds since the Unix epoch.
    pub(crate) clock: Box<dyn Fn() -> u64 + Send>,
    /// Numbers that nobody else draws.
    pub(crate) nonces: Box<dyn FnMut() -> u128 + Send>,
}

impl Place {
    fn at(with: &StoreOptions) -> Result<Self, Error> {
        let opening = if with.take_over {
            storage::open_in_spite_of_lock
        } else {
            storage::open
        };
        let (storage, lock) = opening(&with.address).map_err(|error| store_error(&error))?;
        let clock = SystemClock::new();
        Ok(Place {
            storage,
            lock,
            input: input_place(with),
            clock: Box::new(move || clock.now().0 / 1_000_000),
            nonces: Box::new(super::nonce::random),
        })
    }
}

/// Opens the store.
pub(crate) fn open(
    program: &Program,
    durability: &BTreeMap<String, SourceDurability>,
    options: &Options,
    with: &StoreOptions,
) -> Result<Opened, Error> {
    open_in(Place::at(with)?, program, durability, options, with)
}

/// Opens the store in a place, whatever address the options have.
pub(crate) fn open_in(
    place: Place,
    program: &Program,
    durability: &BTreeMap<String, SourceDurability>,
    options: &Options,
    with: &StoreOptions,
) -> Result<Opened, Error> {
    let Place {
        storage,
        lock,
        input,
        clock,
        nonces,
    } = place;
    let staged = Arc::new(Staged::new(options.limits.staged_bytes));
    let mut sinks = sinks(program, &staged.kept())?;
    known_sinks(&with.reset_sinks, &sinks)?;
    let plan = identity(&program.plan, options, &sinks);
    let (application, groups) = (&program.plan.application, options.key_groups.get());
    let open_options = OpenOptions::new(application, groups, clock, nonces);
    let open_options = self::open_options(open_options, with, plan.clone(), Arc::clone(&storage));
    let opened = Store::open(Arc::clone(&storage), open_options);
    let (mut store, recovered) = opened.map_err(|error| store_error(&error))?;
    let is_new = recovered.is_none();
    let commit = recovered
        .map(|Recovered { commit, .. }| commit)
        .unwrap_or_default();
    let loader = Loader::open(Arc::clone(&storage), &commit.segments);
    let loader = loader.map_err(|error| store_error(&error))?;
    let plan = with_stored_names(plan, &commit.plan, &loader, with, store.generation());
    let sink_states = resume_sinks(&mut sinks, &mut store, &commit, &*storage, with)?;
    let logs = InputLogs::open(input, &storage, store.generation());
    let logs = logs.map_err(|error| store_error(&error))?.map(Arc::new);
    if let Some(logs) = &logs {
        for (source, told) in durability {
            // A program runs once, so this is told once.
            let _ = told.set(SourceLog {
                logs: Arc::clone(logs),
                source: source.clone(),
            });
        }
    }
    let (resume, stored) = resume_from(commit.epoch, &commit.positions, &plan, loader);
    let publishers = sinks
        .into_iter()
        .filter_map(|(name, sink)| Some((name, sink.publisher?)))
        .collect();
    let mut committer = Committer::new(
        store,
        storage,
        commit,
        plan,
        sink_states,
        publishers,
        logs,
        lock,
    );
    committer.reads(stored);
    committer.begin().map_err(|error| error.into_error())?;
    if let Some(name) = &with.savepoint {
        let made = committer.savepoint(name);
        made.map_err(|error| store_error(&error))?;
    }
    for name in &with.drop_savepoints {
        let deleted = committer.delete_savepoint(name);
        deleted.map_err(|error| store_error(&error))?;
    }
    Ok(Opened {
        resume,
        committer,
        staged,
        is_new,
    })
}

/// A sink of the program.
struct OpenSink<'a> {
    code: &'a std::sync::Mutex<dyn ErasedSink>,
    publisher: Option<Box<dyn Publisher>>,
}

fn sinks<'a>(program: &'a Program, kept: &Kept) -> Result<BTreeMap<String, OpenSink<'a>>, Error> {
    let mut sinks = BTreeMap::new();
    for (node, code) in program.plan.nodes.iter().zip(&program.code) {
        let NodeCode::Sink(code) = code else { continue };
        let publisher = code
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .publisher(kept);
        let publisher = publisher.map_err(|error| sink_error(&node.name, &error))?;
        let code = code.as_ref();
        sinks.insert(node.name.clone(), OpenSink { code, publisher });
    }
    Ok(sinks)
}

/// What of the application has to fit its checkpoint.
fn identity(
    plan: &Plan,
    options: &Options,
    sinks: &BTreeMap<String, OpenSink<'_>>,
) -> PlanIdentity {
    let sources = plan
        .nodes
        .iter()
        .filter(|node| node.kind == NodeKind::Source);
    let mut states: BTreeMap<&str, StateIdentity> = BTreeMap::new();
    for id in plan.ids() {
        let NodeKind::State { state, state_type } = &plan.node(id).kind else {
            continue;
        };
        let key_type =
            plan.key_scopes(id)
                .first()
                .and_then(|scope| match &plan.node(*scope).kind {
                    NodeKind::KeyBy { key_type } => Some(key_type.clone()),
                    _ => None,
                });
        states.entry(state).or_insert_with(|| StateIdentity {
            name: state.clone(),
            stored_as: None,
            object_type: state_type.clone(),
            key_type,
            key_groups: options.key_groups.get(),
        });
    }
    PlanIdentity {
        sources: sources.map(|node| node.name.clone()).collect(),
        states: states.into_values().collect(),
        sinks: sinks
            .iter()
            .map(|(name, sink)| SinkIdentity {
                name: name.clone(),
                exactly_once: sink.publisher.is_some(),
            })
            .collect(),
    }
}

fn open_options(
    mut open: OpenOptions,
    with: &StoreOptions,
    plan: PlanIdentity,
    storage: Arc<dyn Storage>,
) -> OpenOptions {
    open.take_over = with.take_over;
    open.retain = with.retain;
    open.process = format!("process {}", std::process::id());
    open.base = with.from.as_ref().map(|from| match from.parse() {
        Ok(number) => StartFrom::Number(number),
        Err(_) => StartFrom::Savepoint(from.clone()),
    });
    let allowed = Allowed {
        dropped_states: with.drop_states.iter().cloned().collect(),
        renamed_states: with.rename_states.iter().cloned().collect(),
        dropped_sources: with.drop_sources.iter().cloned().collect(),
        dropped_sinks: with.drop_sinks.iter().cloned().collect(),
    };
    let place = with.address.clone();
    let resets = with.reset_sinks.clone();
    open.accepts = Box::new(move |commit, newest| {
        let differences = compare(&commit.plan, &plan, &allowed);
        let mut refused: Vec<String> = differences
            .iter()
            .filter(|difference| difference.refuses())
            .map(ToString::to_string)
            .collect();
        let ahead = newest.map(|newest| ahead(&*storage, commit, newest));
        for sink in ahead.into_iter().flatten() {
            let is_told = resets.contains(&sink) || allowed.dropped_sinks.contains(&sink);
            let is_exact = |known: &SinkIdentity| known.name == sink && known.exactly_once;
            if !is_told && plan.sinks.iter().any(is_exact) {
                refused.push(format!("sink {sink:?} has published more than the checkpoint to go back to knows; cut it back with --reset-sink {sink}"));
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(StoreError::Plan {
            place: place.clone(),
            differences: refused.join("; "),
        })
    });
    open
}

/// The sinks that may have published output of `newest`, the newest commit, which `base` does not know.
fn ahead(storage: &dyn Storage, base: &Commit, newest: &Commit) -> Vec<String> {
    let mut sinks: BTreeSet<String> = newest
        .sinks
        .iter()
        // A newest commit that is not behind the base is on another branch.
        .filter(|sink| sink.published_epoch > base.epoch || newest.epoch <= base.epoch)
        .map(|sink| sink.sink.clone())
        .collect();
    for outbox in newest.outboxes.iter().filter(|one| one.epoch > base.epoch) {
        match read_outbox(storage, outbox) {
            Ok(rows) => sinks.extend(rows.into_iter().map(|rows| rows.sink)),
            Err(_) => sinks.extend(newest.sinks.iter().map(|sink| sink.sink.clone())),
        }
    }
    sinks.into_iter().collect()
}

/// Refuses to reset what is no sink.
fn known_sinks(resets: &[String], sinks: &BTreeMap<String, OpenSink<'_>>) -> Result<(), Error> {
    let Some(unknown) = resets.iter().find(|name| !sinks.contains_key(*name)) else {
        return Ok(());
    };
    let known: Vec<String> = sinks.keys().map(|name| format!("{name:?}")).collect();
    let text = format!(
        "--reset-sink {unknown}: the application has no sink of that name; it has {}",
        known.join(", ")
    );
    Err(Error::new(ErrorKind::Invalid, Code::StorePlan, text))
}

/// The plan with the names under which its states are in segments. A new state must not find the objects of one that was
/// dropped and had its name.
fn with_stored_names(
    mut plan: PlanIdentity,
    before: &PlanIdentity,
    loader: &Loader,
    with: &StoreOptions,
    generation: u64,
) -> PlanIdentity {
    let taken: BTreeSet<&str> = loader.states().into_iter().collect();
    for state in &mut plan.states {
        let renamed = with
            .rename_states
            .iter()
            .find(|(_, new)| *new == state.name);
        let old_name = renamed.map_or(&state.name, |(old, _)| old);
        let was_dropped = with.drop_states.contains(old_name);
        let known = before.states.iter().find(|known| known.name == *old_name);
        let known = known.filter(|_| !was_dropped);
        if let Some(known) = known
            && state.key_type.as_deref() == Some(ANY_KIND)
        {
            // What a program without types does not say is still so.
            state.key_type.clone_from(&known.key_type);
        }
        let stored = match known {
            Some(known) => known.stored_name().to_owned(),
            None if taken.contains(state.name.as_str()) => format!("{}~{generation}", state.name),
            None => state.name.clone(),
        };
        state.stored_as = (stored != state.name).then_some(stored);
    }
    plan
}

/// Brings every sink to where the commit left it, and publishes what may not have been published.
fn resume_sinks(
    sinks: &mut BTreeMap<String, OpenSink<'_>>,
    store: &mut Store,
    commit: &Commit,
    storage: &dyn Storage,
    with: &StoreOptions,
) -> Result<BTreeMap<String, SinkState>, Error> {
    let is_new = commit.plan == PlanIdentity::default();
    let mut outboxes = Vec::new();
    for meta in &commit.outboxes {
        let rows = read_outbox(storage, meta).map_err(|error| store_error(&error))?;
        outboxes.push((meta.epoch, rows));
    }
    let mut states = BTreeMap::new();
    for (name, sink) in sinks {
        let recorded = commit.sinks.iter().find(|state| state.sink == *name);
        let recorded = recorded.filter(|_| !with.drop_sinks.contains(name));
        let from = recorded.map(|recorded| Position::of(&recorded.state));
        let failed = |error: ConnectorError| sink_error(name, &error);
        let mut state = SinkState {
            sink: name.clone(),
            published_epoch: recorded.map_or(commit.epoch, |recorded| recorded.published_epoch),
            state: serde_json::Value::Null,
        };
        let Some(publisher) = &mut sink.publisher else {
            let reset = with.reset_sinks.contains(name);
            let mut code = sink.code.lock().unwrap_or_else(PoisonError::into_inner);
            let from = from.as_ref().filter(|_| !reset);
            // It is cut back: not while another process writes it, and not by one that has slept since its fence, while another
            // took over and ended.
            code.claim().map_err(failed)?;
            let checked = store.check_not_fenced();
            checked.map_err(|error| store_error(&error))?;
            if let Some(position) = code.resume(from).map_err(failed)? {
                state.state = super::to_json(&position);
                states.insert(name.clone(), state);
            }
            continue;
        };
        let reset = with.reset_sinks.contains(name) && !is_new;
        let mut position = publisher.resume(from.as_ref(), reset).map_err(failed)?;
        for (epoch, outbox) in &outboxes {
            for rows in outbox.iter().filter(|rows| rows.sink == *name) {
                if *epoch > state.published_epoch {
                    position = publisher.publish(*epoch, &rows.rows).map_err(failed)?;
                    state.published_epoch = *epoch;
                }
            }
        }
        if from.is_some() {
            publisher.resumed().map_err(failed)?;
        }
        state.state = super::to_json(&position);
        states.insert(name.clone(), state);
    }
    Ok(states)
}

/// Where the input logs are: in the store, whatever it is.
fn input_place(with: &StoreOptions) -> InputPlace {
    // An address of no known form cannot be opened, which is told.
    match storage::input_directory(&with.address) {
        Ok(Some(directory)) => InputPlace::Files(directory, Arc::new(SystemDisk)),
        Ok(None) | Err(_) => InputPlace::Objects(with.log_input_every),
    }
}

pub(crate) fn store_error(error: &StoreError) -> Error {
    let code = super::code_of(error);
    let kind = match error {
        StoreError::Storage(_) | StoreError::Locked { .. } | StoreError::Fenced { .. } => {
            ErrorKind::Unavailable
        }
        StoreError::Corrupt { .. }
        | StoreError::DamagedInput { .. }
        | StoreError::Missing { .. } => ErrorKind::Data,
        _ => ErrorKind::Invalid,
    };
    Error::new(kind, code, error.to_string())
}

fn sink_error(name: &str, error: &ConnectorError) -> Error {
    let code = error.code().unwrap_or(Code::SinkOpen);
    let text = format!("cannot open the sink {name:?}: {}", error.full_text());
    Error::new(ErrorKind::Unavailable, code, text)
}
