//! The second process that is killed: `crash-orders DIRECTORY ADDRESS WORKERS EVERY_MS`. It ends when it is told to by a file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use wallaroo::{Error, Options, StoreOptions};
use wallaroo_crash::orders::{REFUSAL, STOP, application};

fn main() -> ExitCode {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panicked| {
        // Some orders are refused so, on purpose.
        if panicked.payload_as_str() != Some(REFUSAL) {
            report(panicked);
        }
    }));
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_default());
    let address = arguments.next().unwrap_or_default();
    let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(workers), Some(every)) = (number(), number()) else {
        return ExitCode::from(2);
    };
    let mut options = Options::with_workers(usize::try_from(workers).unwrap_or(1));
    let store = StoreOptions::new(directory.join("store").to_string_lossy());
    options.store = Some(store.every(Duration::from_millis(every)));
    let run = || -> Result<(), Error> {
        let running = application(&directory, &address).start(options)?;
        loop {
            if let Some(ended) = running.wait_timeout(Duration::from_millis(20)) {
                return ended;
            }
            if directory.join(STOP).exists() {
                running.stop();
                return running.wait();
            }
        }
    };
    match run() {
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
