//! Runs a Wallaroo plan as timely dataflows, one generation at a time.
//!
//! **It is** the only crate that knows timely: it cuts a plan into regions, builds one operator per region,
//! moves batches between workers, keeps order, bounds memory, and stops cleanly. **It is not** aware of
//! message types, of connectors, or of other processes.
//!
//! # Limits
//! One process. At most 65,535 workers. A panic must unwind: a program built with `panic = "abort"` is
//! refused at start.
//!
//! # Example
//! Users start at the crate `wallaroo`; what a host language provides is in [`host`].

pub mod host;

mod alarm;
mod batch;
mod baton;
mod closing;
mod control;
mod dataflow;
mod epochs;
mod executor;
mod failure;
mod gauge;
mod generation;
mod layout;
mod ledger;
mod listener;
mod panics;
mod program;
mod recovery;
mod region;
mod restore;
mod run;
mod sink;
mod source;
mod stash;
mod status;
mod wake;
mod watch;
mod worker;

pub use baton::Random;
pub use control::{Epoch, Limits};
pub use executor::is_expired;
pub use failure::{Act, Connector, Failure, Origin, Owner, UndrainedSink};
pub use listener::{EpochListener, SinkOutput, SourcePosition};
pub use panics::record_panic;
pub use program::{Copier, Factory, NodeCode, Program, Sizer};
pub use recovery::{Recovery, Unresumed};
pub use restore::{EachObject, LoadError, Resume, StoredStates};
pub use run::{Body, Options, Outcome, Run, RunHandle, Simulation, StartError};
pub use status::{NodeStatus, StateStatus, Status};
pub use watch::StuckStage;
