//! The application that is killed, what goes into it, and what must come out.
//!
//! Every message must be counted once in the object of its key and once in the object of its group, and be in each output once,
//! however often the process died. The check reads the output only: it shares no code with the engine.
//!
//! **Invariants.** What goes in depends on the number of messages and the seed, on nothing else.

pub mod application;
pub mod check;
pub mod input;
pub mod orders;
pub mod random;
