//! The status of a running application over HTTP: `/health`, `/status` and `/metrics`. docs/status.md says what they answer.
//!
//! **It is** a small server on a thread of its own, which asks a function of its owner for a [`Report`] at every request.
//! **It is not** a way to change anything, and knows nothing of engines and stores: its owner fills the report.
//!
//! # Limits
//! One request per connection, [`Options::connections`] connections at a time, [`Options::timeout`] for each. Only `GET`. Only
//! loopback addresses, unless its owner says otherwise.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use wallaroo_console::{Options, Phase, Report, start};
//!
//! let report = || Report { application: "stocks".to_owned(), workers: 2, phase: Phase::Running, ..Report::default() };
//! let options = Options::at("127.0.0.1:0".parse().expect("is an address"));
//! let console = start(options, Arc::new(report)).expect("a port is free");
//! println!("http://{}/status", console.address());
//! ```

mod connections;
mod error;
mod metrics;
mod pages;
mod report;
mod request;
mod server;

pub use error::ConsoleError;
pub use report::{Checkpoint, Committed, Kind, Node, Phase, Report, StateSize, Stuck};
pub use server::{Console, MakeReport, Options, Reach, start};
