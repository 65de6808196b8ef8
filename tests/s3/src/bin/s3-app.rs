//! The application of the crash test on the command line, so that its store can be in S3.
//!
//! **Invariants.** What is not of the command line comes from `S3_APP_DIRECTORY`, `S3_APP_COUNT` and `S3_APP_SEED`.

use std::path::PathBuf;

use wallaroo_crash::application::application;
use wallaroo_crash::input::Numbers;

fn main() {
    let number = |name: &str| {
        let value = std::env::var(name).ok();
        value.and_then(|value| value.parse::<u64>().ok())
    };
    let directory = PathBuf::from(std::env::var_os("S3_APP_DIRECTORY").unwrap_or_default());
    let numbers = Numbers {
        count: number("S3_APP_COUNT").unwrap_or(1000),
        seed: number("S3_APP_SEED").unwrap_or(1),
    };
    application(&directory, numbers).main();
}
