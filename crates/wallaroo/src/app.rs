//! Applications: pipelines under a name, and how to run them.
//!
//! **Invariants.** `run` and `start` are library calls: they read no arguments and no environment, install no
//! signal handler, no panic hook and no subscriber. Any number of applications run in one process.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wallaroo_core::{KeyGroupCount, NodeKind, Plan};
use wallaroo_engine::host::HostRuntime;
use wallaroo_engine::{Body, Limits, NodeCode, Recovery, Run, StartError};

use crate::durable::{self, Checkpoints, Place, StoreOptions};
use crate::error::Error;
use crate::graph::{Built, GraphNode, program};
use crate::memory::Guard;
use crate::running::Running;
use crate::status_page::StatusPage;
use crate::stream::Pipeline;

/// An application.
///
/// # Example
/// ```
/// use wallaroo::{App, Options, iter, memory, source};
///
/// let squares = memory::<u64>();
/// App::new("squares")
///     .add(source("numbers", iter(1..=3)).to(|n: &u64| Some(n * n)).to_sink("squares", squares.clone()))
///     .run(Options::default())?;
/// assert_eq!(squares.take(), [1, 4, 9]);
/// # Ok::<(), wallaroo::Error>(())
/// ```
#[must_use = "an application does nothing before run, start or main"]
pub struct App {
    name: String,
    ends: Vec<Arc<GraphNode>>,
}

/// The name of a source or sink, and its address if it can have another.
pub(crate) type Named = (String, Option<String>);

/// A connector whose code panicked was not begun to be used; what it holds is as good as before.
fn unpoisoned<T: ?Sized>(connector: &Mutex<T>) -> MutexGuard<'_, T> {
    connector.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How to run an application.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many workers run user code in parallel. Default: 1.
    pub workers: NonZeroUsize,
    /// Into how many groups keys are divided; the unit that moves between workers. Default: 1,024. It never
    /// changes once an application has stored state.
    pub key_groups: KeyGroupCount,
    /// Bounds of the messages in flight.
    pub limits: Limits,
    /// Where `/health`, `/status` and `/metrics` are served: an address of this machine such as `127.0.0.1:7080`. Default: nowhere.
    pub status: Option<SocketAddr>,
    /// How much memory the process may occupy, in bytes. From nine tenths of it on sources wait for what is on its way; if that does
    /// not help the application ends, with what was handled committed (WAL-0605). Default: no limit. Linux only.
    pub memory_limit: Option<u64>,
    /// Where checkpoints are kept, so that the application goes on after a failure where it was. Default: nowhere.
    pub store: Option<StoreOptions>,
    /// After this time in one call, a function is told to be stuck: in the log (WAL-0503), and in
    /// [`Status::stuck`](crate::Status::stuck). Default: 5 seconds. Nothing else happens to it.
    pub stuck_after: Duration,
}

impl Options {
    /// The defaults, with another number of workers.
    ///
    /// # Panics
    /// When `workers` is zero.
    #[must_use]
    pub fn with_workers(workers: usize) -> Self {
        Options {
            workers: NonZeroUsize::new(workers).expect("there is at least one worker"),
            ..Options::default()
        }
    }

    pub(crate) fn engine(&self) -> wallaroo_engine::Options {
        wallaroo_engine::Options {
            workers: self.workers,
            groups: self.key_groups,
            limits: self.limits,
            stuck_after: self.stuck_after,
            ..wallaroo_engine::Options::default()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            workers: NonZeroUsize::MIN,
            key_groups: KeyGroupCount::default(),
            limits: Limits::default(),
            status: None,
            memory_limit: None,
            store: None,
            stuck_after: wallaroo_engine::Options::default().stuck_after,
        }
    }
}

impl App {
    /// An application without pipelines.
    pub fn new(name: impl Into<String>) -> Self {
        App {
            name: name.into(),
            ends: Vec::new(),
        }
    }

    /// Adds a pipeline.
    #[allow(
        clippy::should_implement_trait,
        reason = "nobody adds applications with +"
    )]
    pub fn add(mut self, pipeline: Pipeline) -> Self {
        self.ends.push(pipeline.end);
        self
    }

    /// The application as data: its sources, stages and sinks.
    ///
    /// # Errors
    /// When the application cannot work; the text names the stage and the fix.
    pub fn plan(&self) -> Result<Plan, Error> {
        let plan = self.build().program.plan;
        plan.check()?;
        Ok(plan)
    }

    /// Runs until all input has ended.
    ///
    /// # Errors
    /// When the application cannot start, or fails on the way.
    pub fn run(self, options: Options) -> Result<(), Error> {
        self.start(options)?.wait()
    }

    /// Starts the application and returns at once.
    ///
    /// # Errors
    /// When the application cannot start: its plan is wrong, a file is missing, a port is taken.
    pub fn start(self, options: Options) -> Result<Running, Error> {
        self.start_in(None, options)
    }

    /// Starts with the store in another place than its address says, if there is one.
    pub(crate) fn start_in(self, place: Option<Place>, options: Options) -> Result<Running, Error> {
        let (mut running, body) = self.launch(place, options, None)?;
        running.run(body)?;
        Ok(running)
    }

    /// Opens everything, and leaves it to the caller to run the body.
    pub(crate) fn launch(
        self,
        place: Option<Place>,
        options: Options,
        host: Option<Arc<dyn HostRuntime>>,
    ) -> Result<(Running, Body), Error> {
        let built = self.build();
        built.program.plan.check()?;
        built.warn();
        let Built {
            program,
            senders,
            durability,
            unkeyed: _,
        } = built;
        let mut engine = options.engine();
        engine.host = host;
        // First, so that it can be asked while the store is read and what was not published yet is.
        let status = options.status;
        let status = status.map(|at| StatusPage::serve(at, &program.plan));
        let status = status.transpose()?;
        let show = |run: &Run, checkpoints| {
            if let Some(status) = &status {
                status.show(run.handle(), checkpoints);
            }
        };
        let Some(store) = &options.store else {
            let (run, body) = Run::prepare(program, engine)?;
            show(&run, None);
            let guard = options.memory_limit;
            let guard = guard.map(|limit| Guard::start(limit, run.handle(), None));
            let running = Running::new(run, senders, None, status);
            return Ok((running.guarded(guard.transpose()?), body));
        };
        let opened = match place {
            Some(place) => durable::open_in(place, &program, &durability, &options, store)?,
            None => durable::open(&program, &durability, &options, store)?,
        };
        let durable::Opened {
            resume,
            committer,
            staged,
            is_new,
        } = opened;
        let mut checkpoints =
            Checkpoints::new(committer, staged, store.interval(), resume.epoch, is_new);
        engine.listener = Some(checkpoints.listener());
        engine.resume = Some(resume);
        let recovery = checkpoints.recovery(program.clone(), store.recoveries);
        engine.recovery = recovery.map(|recovery| recovery as Arc<dyn Recovery>);
        let (run, body) = Run::prepare(program, engine)?;
        checkpoints
            .start(&run.handle())
            .map_err(StartError::Thread)?;
        let view = || Some(checkpoints.view());
        show(&run, view());
        let guard = options.memory_limit;
        let guard = guard.map(|limit| Guard::start(limit, run.handle(), view()));
        let running = Running::new(run, senders, Some(checkpoints), status);
        Ok((running.guarded(guard.transpose()?), body))
    }

    /// The names of the sources and those of the sinks, each with the address it has, if it can have another.
    pub(crate) fn connectors(&self) -> (Vec<Named>, Vec<Named>) {
        let program = self.build().program;
        let address = |code: &NodeCode| match code {
            NodeCode::Source(source) => unpoisoned(source).address(),
            NodeCode::Sink(sink) => unpoisoned(sink).address(),
            _ => None,
        };
        let named = |kind: &NodeKind| {
            let nodes = program.plan.nodes.iter().zip(&program.code);
            nodes
                .filter(|(node, _)| node.kind == *kind)
                .map(|(node, code)| (node.name.clone(), address(code)))
                .collect()
        };
        (named(&NodeKind::Source), named(&NodeKind::Sink))
    }

    /// Lets the source or sink `name` read from or write to `address` instead. False if there is none of that
    /// name.
    pub(crate) fn redirect(
        &self,
        name: &str,
        address: &str,
        kind: &NodeKind,
    ) -> Result<bool, wallaroo_core::ConnectorError> {
        let program = self.build().program;
        for (node, code) in program.plan.nodes.iter().zip(&program.code) {
            if node.name == name && node.kind == *kind {
                match code {
                    NodeCode::Source(source) => unpoisoned(source).redirect(address)?,
                    NodeCode::Sink(sink) => unpoisoned(sink).redirect(address)?,
                    _ => return Ok(false),
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn build(&self) -> Built {
        program(&self.name, &self.ends)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("name", &self.name)
            .field("pipelines", &self.ends.len())
            .finish()
    }
}
