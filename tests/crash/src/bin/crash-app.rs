//! The process that is killed: `crash-app DIRECTORY COUNT SEED WORKERS EVERY_MS`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use wallaroo::{Options, StoreOptions};
use wallaroo_crash::application::application;
use wallaroo_crash::input::Numbers;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_default());
    let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(count), Some(seed), Some(workers), Some(every)) =
        (number(), number(), number(), number())
    else {
        return ExitCode::from(2);
    };
    let mut options = Options::with_workers(usize::try_from(workers).unwrap_or(1));
    let store = StoreOptions::new(directory.join("store").to_string_lossy());
    options.store = Some(store.every(Duration::from_millis(every)));
    match application(&directory, Numbers { count, seed }).run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(
                clippy::print_stderr,
                reason = "this is a program, and its caller reads it"
            )]
            {
                eprintln!("{error}");
            }
            ExitCode::FAILURE
        }
    }
}
