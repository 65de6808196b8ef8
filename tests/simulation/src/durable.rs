//! Applications with a store that die, again and again, in simulation.
//!
//! An application is run by one process after another on the same storage and the same files. Each process dies at a drawn
//! moment, or sleeps while another takes over, or meets failures that pass; the next one has another number of workers, other
//! batches and other epochs. At every commit what is kept must be what the model makes of exactly the records before the
//! commit's positions.
//!
//! **Invariants.** A life is a function of its seed. The judge reads what is stored, not what the application says.

pub mod disk;
pub mod judge;
pub mod life;
pub mod log_disk;
pub mod mortal;
pub mod process;
pub mod senders;

pub use life::{Life, Moments};
