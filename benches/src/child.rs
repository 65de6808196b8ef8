//! Measurements that need a process of their own.
//!
//! The program calls itself with `--child NAME`; the child prints one number and ends.

use std::env;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::checkpoint::restore;
use crate::{idle, memory};

/// What a child measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Child {
    MemoryPlain,
    MemoryWallaroo,
    IdlePlain,
    IdleWallarooOneWorker,
    IdleWallarooTwoWorkers,
    RestorePlain,
    RestoreWallaroo,
    RestoreMemoryPlain,
    RestoreMemory,
    Victim,
}

impl Child {
    /// In the child: measures and prints.
    pub(crate) fn run(self) {
        let number = match self {
            Self::MemoryPlain => memory::measure_plain(),
            Self::MemoryWallaroo => memory::measure_wallaroo(),
            Self::IdlePlain => idle::measure_plain(),
            Self::IdleWallarooOneWorker => idle::measure_wallaroo(1),
            Self::IdleWallarooTwoWorkers => idle::measure_wallaroo(2),
            Self::RestorePlain => restore::measure_plain(),
            Self::RestoreWallaroo => restore::measure_wallaroo(),
            Self::RestoreMemoryPlain => restore::measure_memory_plain(),
            Self::RestoreMemory => restore::measure_memory(),
            Self::Victim => restore::be_victim(),
        };
        println!("{number}");
    }

    /// In the parent: starts the child and reads its number.
    pub(crate) fn measure(self) -> f64 {
        self.measure_by(&mut self.command())
    }

    /// As [`Child::measure`], of a child that needs a directory.
    pub(crate) fn measure_with(self, variable: &str, directory: &Path) -> f64 {
        self.measure_by(self.command().env(variable, directory))
    }

    /// In the parent: what starts the child.
    pub(crate) fn command(self) -> Command {
        let name = self.to_possible_value().expect("every child has a name");
        let program = env::current_exe().expect("the running program has a path");
        let mut command = Command::new(program);
        command
            .args(["--child", name.get_name()])
            .env("MIMALLOC_PURGE_DELAY", "0"); // else tables outgrown long ago count as memory in use
        command
    }

    fn measure_by(self, command: &mut Command) -> f64 {
        let output = command.output().expect("the program can start itself");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "child {self:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        text.trim().parse().expect("a child prints one number")
    }
}
