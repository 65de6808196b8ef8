//! The command line of the program.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::child::Child;

/// Which benchmarks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Mode {
    /// The lines that guard every change; at most ten minutes on two cores.
    Normal,
    /// Everything: all key counts, distributions and key types.
    Full,
}

/// Wallaroo beside the programs people would write by hand.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Arguments {
    /// Which benchmarks run.
    #[arg(value_enum, default_value = "normal")]
    pub(crate) mode: Mode,
    /// Run only benchmarks whose name contains this text, and the noise floor of their family.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Write one JSON object per benchmark, with every single run, to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measured runs of each side; one more run of each warms up.
    #[arg(long, value_name = "COUNT", default_value = "5")]
    pub(crate) runs: NonZeroUsize,
    /// Measure one thing in this process and print a number; the program calls itself with it.
    #[arg(long, value_enum, hide = true)]
    pub(crate) child: Option<Child>,
}
