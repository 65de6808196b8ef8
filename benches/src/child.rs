//! Measurements that need a process of their own.
//!
//! The program calls itself with `--child NAME`; the child prints one number and ends.

use std::env;
use std::process::Command;

use clap::ValueEnum;

use crate::{idle, memory};

/// What a child measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Child {
    MemoryPlain,
    MemoryWallaroo,
    IdlePlain,
    IdleWallarooOneWorker,
    IdleWallarooTwoWorkers,
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
        };
        println!("{number}");
    }

    /// In the parent: starts the child and reads its number.
    pub(crate) fn measure(self) -> f64 {
        let name = self.to_possible_value().expect("every child has a name");
        let program = env::current_exe().expect("the running program has a path");
        let output = Command::new(program)
            .args(["--child", name.get_name()])
            .env("MIMALLOC_PURGE_DELAY", "0") // else tables outgrown long ago count as memory in use
            .output()
            .expect("the program can start itself");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "child {self:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        text.trim().parse().expect("a child prints one number")
    }
}
