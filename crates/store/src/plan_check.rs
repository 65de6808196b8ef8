//! Whether an application fits a checkpoint: [`compare`] lists every difference, and what the user has to say to allow it.
//!
//! **Invariants.** Nothing that is kept gets lost without being named by the user: what is in the checkpoint and not in the
//! application is a difference that refuses the start. The list is in a fixed order: states, sources, sinks, each by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wallaroo_core::key::ANY_KIND;

use crate::commit::{PlanIdentity, StateIdentity};

/// What the user allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// States whose objects are given up: `--drop-state NAME`.
    pub dropped_states: BTreeSet<String>,
    /// Old names of states and their new ones: `--rename-state OLD=NEW`.
    pub renamed_states: BTreeMap<String, String>,
    /// Sources whose positions are given up: `--drop-source NAME`.
    pub dropped_sources: BTreeSet<String>,
    /// Sinks whose unpublished output and record of what is published are given up: `--drop-sink NAME`.
    pub dropped_sinks: BTreeSet<String>,
}

/// A difference between a checkpoint and an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The checkpoint has a state that the application has not.
    StateGone {
        /// Its name.
        state: String,
    },
    /// The application has a state that the checkpoint has not: it begins empty.
    StateNew {
        /// Its name.
        state: String,
    },
    /// A state goes on under another name.
    StateRenamed {
        /// Its name in the checkpoint.
        from: String,
        /// Its name in the application.
        to: String,
    },
    /// A state is given up, as the user said.
    StateDropped {
        /// Its name.
        state: String,
    },
    /// The keys of a state have another type, so that none of its objects would be found again.
    KeyType {
        /// Its name in the checkpoint.
        state: String,
        /// The type in the checkpoint.
        was: Option<String>,
        /// The type in the application.
        is: Option<String>,
    },
    /// A state has another number of key groups.
    KeyGroups {
        /// Its name in the checkpoint.
        state: String,
        /// The number in the checkpoint.
        was: u16,
        /// The number in the application.
        is: u16,
    },
    /// The objects of a state have a type of another name; whether they can be read is for their codec to say.
    ObjectType {
        /// Its name in the checkpoint.
        state: String,
        /// The type in the checkpoint.
        was: String,
        /// The type in the application.
        is: String,
    },
    /// The checkpoint has positions of a source that the application has not.
    SourceGone {
        /// Its name.
        source: String,
    },
    /// The application has a source that the checkpoint has not: it is read from its beginning.
    SourceNew {
        /// Its name.
        source: String,
    },
    /// A source's positions are given up, as the user said.
    SourceDropped {
        /// Its name.
        source: String,
    },
    /// The checkpoint has a sink that the application has not.
    SinkGone {
        /// Its name.
        sink: String,
    },
    /// The application has a sink that the checkpoint has not.
    SinkNew {
        /// Its name.
        sink: String,
    },
    /// What is kept of a sink is given up, as the user said.
    SinkDropped {
        /// Its name.
        sink: String,
    },
    /// A sink publishes exactly once and did not, or the other way round.
    SinkKind {
        /// Its name.
        sink: String,
        /// Whether it publishes exactly once in the application.
        exactly_once: bool,
    },
    /// The user allows something for a name that is not there.
    NothingToAllow {
        /// The option, as it was given.
        option: String,
        /// Why it cannot be meant so.
        cause: String,
    },
}

impl Difference {
    /// Whether the application must not start like this.
    #[must_use]
    pub fn refuses(&self) -> bool {
        match self {
            Difference::StateGone { .. }
            | Difference::KeyType { .. }
            | Difference::KeyGroups { .. }
            | Difference::SourceGone { .. }
            | Difference::SinkGone { .. }
            | Difference::SinkKind { .. }
            | Difference::NothingToAllow { .. } => true,
            Difference::StateNew { .. }
            | Difference::StateRenamed { .. }
            | Difference::StateDropped { .. }
            | Difference::ObjectType { .. }
            | Difference::SourceNew { .. }
            | Difference::SourceDropped { .. }
            | Difference::SinkNew { .. }
            | Difference::SinkDropped { .. } => false,
        }
    }

    /// The options that allow it; none if nothing has to be allowed, or nothing can.
    #[must_use]
    pub fn allowed_by(&self) -> Vec<String> {
        match self {
            Difference::StateGone { state } => vec![
                format!("--drop-state {state}"),
                format!("--rename-state {state}=NEW"),
            ],
            Difference::KeyType { state, .. } => vec![format!("--drop-state {state}")],
            Difference::SourceGone { source } => vec![format!("--drop-source {source}")],
            Difference::SinkGone { sink } | Difference::SinkKind { sink, .. } => {
                vec![format!("--drop-sink {sink}")]
            }
            _ => Vec::new(),
        }
    }

    fn fact(&self) -> String {
        let key_type = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
        match self {
            Difference::StateGone { state } => format!("state {state:?} is not in the application"),
            Difference::StateNew { state } => format!("state {state:?} is new and begins empty"),
            Difference::StateRenamed { from, to } => format!("state {from:?} goes on as {to:?}"),
            Difference::StateDropped { state } => format!("state {state:?} is given up"),
            Difference::KeyType { state, was, is } => format!(
                "state {state:?} had keys of type {}, and the application has {}, so that no object would be found again",
                key_type(was),
                key_type(is)
            ),
            Difference::KeyGroups { state, was, is } => format!(
                "state {state:?} has {was} key groups, and the application {is}; start it with {was}"
            ),
            Difference::ObjectType { state, was, is } => {
                format!("objects of state {state:?} were of type {was}, and are read as {is}")
            }
            Difference::SourceGone { source } => {
                format!("source {source:?} is not in the application")
            }
            Difference::SourceNew { source } => {
                format!("source {source:?} is new and is read from its beginning")
            }
            Difference::SourceDropped { source } => {
                format!("the positions of source {source:?} are given up")
            }
            Difference::SinkGone { sink } => format!("sink {sink:?} is not in the application"),
            Difference::SinkNew { sink } => format!("sink {sink:?} is new"),
            Difference::SinkDropped { sink } => {
                format!("what is kept of sink {sink:?} is given up")
            }
            Difference::SinkKind {
                sink,
                exactly_once: true,
            } => {
                format!("sink {sink:?} publishes exactly once, and did not")
            }
            Difference::SinkKind {
                sink,
                exactly_once: false,
            } => {
                format!("sink {sink:?} published exactly once, and does not any more")
            }
            Difference::NothingToAllow { option, cause } => format!("{option}: {cause}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fact())?;
        match self.allowed_by().as_slice() {
            [] => Ok(()),
            options => write!(
                f,
                "; put it back, or allow it with {}",
                options.join(" or ")
            ),
        }
    }
}

/// All differences between what a checkpoint was made by and what is to go on from it. It fits when none of them
/// [refuses](Difference::refuses).
#[must_use]
pub fn compare(was: &PlanIdentity, is: &PlanIdentity, allowed: &Allowed) -> Vec<Difference> {
    let mut differences = Vec::new();
    states(was, is, allowed, &mut differences);
    sources(was, is, allowed, &mut differences);
    sinks(was, is, allowed, &mut differences);
    differences
}

fn states(was: &PlanIdentity, is: &PlanIdentity, allowed: &Allowed, found: &mut Vec<Difference>) {
    let by_name = |plan: &PlanIdentity| -> BTreeMap<String, StateIdentity> {
        let states = plan.states.iter();
        states
            .map(|state| (state.name.clone(), state.clone()))
            .collect()
    };
    let (was, is) = (by_name(was), by_name(is));
    let mut old_ones: BTreeSet<String> = BTreeSet::new();
    let mut claimed: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, before) in &was {
        let new_name = allowed.renamed_states.get(name).unwrap_or(name);
        let state = name.clone();
        if allowed.dropped_states.contains(name) {
            found.push(Difference::StateDropped { state });
            continue;
        }
        let Some(after) = is.get(new_name) else {
            found.push(Difference::StateGone { state });
            continue;
        };
        if let Some(other) = claimed.insert(new_name, name) {
            found.push(Difference::NothingToAllow {
                option: format!("--rename-state of {other:?} and {name:?}"),
                cause: format!("both would be {new_name:?}; rename or drop one of them"),
            });
        }
        old_ones.insert(new_name.clone());
        if new_name != name {
            found.push(Difference::StateRenamed {
                from: state,
                to: new_name.clone(),
            });
        }
        state_itself(before, after, found);
    }
    for name in is.keys().filter(|name| !old_ones.contains(*name)) {
        found.push(Difference::StateNew {
            state: name.clone(),
        });
    }
    let names: Vec<String> = was.keys().map(|name| format!("{name:?}")).collect();
    let dropped = allowed
        .dropped_states
        .iter()
        .map(|name| (name, format!("--drop-state {name}")));
    let renamed = allowed.renamed_states.iter();
    let renamed = renamed.map(|(from, to)| (from, format!("--rename-state {from}={to}")));
    for (name, option) in dropped.chain(renamed) {
        if !was.contains_key(name) {
            let cause = format!(
                "the checkpoint has no state of that name; it has {}",
                names.join(", ")
            );
            found.push(Difference::NothingToAllow { option, cause });
        }
    }
}

fn state_itself(before: &StateIdentity, after: &StateIdentity, found: &mut Vec<Difference>) {
    let state = || before.name.clone();
    // What a host without types says of its keys tells nothing; without any key there is one object.
    let may_be_same = match (&before.key_type, &after.key_type) {
        (Some(was), Some(is)) => was == is || was == ANY_KIND || is == ANY_KIND,
        (was, is) => was == is,
    };
    if !may_be_same {
        let (was, is) = (before.key_type.clone(), after.key_type.clone());
        found.push(Difference::KeyType {
            state: state(),
            was,
            is,
        });
    }
    if before.key_groups != after.key_groups {
        let (was, is) = (before.key_groups, after.key_groups);
        found.push(Difference::KeyGroups {
            state: state(),
            was,
            is,
        });
    }
    if before.object_type != after.object_type {
        let (was, is) = (before.object_type.clone(), after.object_type.clone());
        found.push(Difference::ObjectType {
            state: state(),
            was,
            is,
        });
    }
}

fn sources(was: &PlanIdentity, is: &PlanIdentity, allowed: &Allowed, found: &mut Vec<Difference>) {
    let was: BTreeSet<&String> = was.sources.iter().collect();
    let is: BTreeSet<&String> = is.sources.iter().collect();
    for &name in &was {
        let source = name.clone();
        if allowed.dropped_sources.contains(name) {
            found.push(Difference::SourceDropped { source });
        } else if !is.contains(name) {
            found.push(Difference::SourceGone { source });
        }
    }
    let new = is.difference(&was).copied().cloned();
    found.extend(new.map(|source| Difference::SourceNew { source }));
    for name in allowed
        .dropped_sources
        .iter()
        .filter(|name| !was.contains(name))
    {
        found.push(Difference::NothingToAllow {
            option: format!("--drop-source {name}"),
            cause: "the checkpoint has no source of that name".to_owned(),
        });
    }
}

fn sinks(was: &PlanIdentity, is: &PlanIdentity, allowed: &Allowed, found: &mut Vec<Difference>) {
    let by_name = |plan: &PlanIdentity| -> BTreeMap<String, bool> {
        let sinks = plan.sinks.iter();
        sinks
            .map(|sink| (sink.name.clone(), sink.exactly_once))
            .collect()
    };
    let (was, is) = (by_name(was), by_name(is));
    for (name, before) in &was {
        let sink = name.clone();
        if allowed.dropped_sinks.contains(name) {
            found.push(Difference::SinkDropped { sink });
            continue;
        }
        match is.get(name) {
            None => found.push(Difference::SinkGone { sink }),
            Some(after) if after != before => {
                found.push(Difference::SinkKind {
                    sink,
                    exactly_once: *after,
                });
            }
            Some(_) => {}
        }
    }
    for sink in is.keys().filter(|name| !was.contains_key(*name)) {
        found.push(Difference::SinkNew { sink: sink.clone() });
    }
    for name in allowed
        .dropped_sinks
        .iter()
        .filter(|name| !was.contains_key(*name))
    {
        found.push(Difference::NothingToAllow {
            option: format!("--drop-sink {name}"),
            cause: "the checkpoint has no sink of that name".to_owned(),
        });
    }
}

#[cfg(test)]
mod tests;
