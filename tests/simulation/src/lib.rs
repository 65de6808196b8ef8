//! Random applications on the real engine, compared with a sequential model.
//!
//! **It is** the proof that order, atomicity and alignment hold at any number of workers: an application is drawn
//! from a seed, run in simulation or on real threads, and every call, output and snapshot is compared with what
//! a loop over the records would have done. **It is not** a test of connectors, processes or speed.
//!
//! # Limits
//! State never decides what a message becomes, so that the model knows every message whatever the interleaving
//! was; what the state objects saw is replayed in the order in which the calls happened.
//!
//! # Example
//! ```
//! use wallaroo_simulation::{Case, Mode, check};
//!
//! check(&Case::random(7), Mode::Simulated);
//! ```

pub mod build;
pub mod case;
pub mod check;
pub mod durable;
pub mod input;
pub mod model;
pub mod observe;
pub mod raw;
pub mod run;
pub mod topology;
pub mod ways;

pub use case::{Case, Mode};
pub use check::check;
pub use run::{Observed, run};
