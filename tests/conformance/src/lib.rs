//! Scenarios that every language must get the same results for, and the application they run, in Rust.
//!
//! A scenario is a file in `scenarios`: an application made of the functions of [`functions`] and [`states`], what goes in, and what
//! must come out. Other languages have the same functions under the same names, and a driver of their own.
//!
//! **Invariants.** Expected results stand in the files only. No driver knows a scenario.

pub mod application;
pub mod functions;
pub mod scenario;
pub mod states;
