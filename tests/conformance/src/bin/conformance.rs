//! One run of a scenario as a process: `conformance SCENARIO RUN DIRECTORY WORKERS`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use wallaroo::{Options, StoreOptions};
use wallaroo_conformance::application::build;
use wallaroo_conformance::scenario::Scenario;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
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

fn run(arguments: &[String]) -> Result<(), String> {
    let [scenario, run, directory, workers] = arguments else {
        return Err("conformance SCENARIO RUN DIRECTORY WORKERS".to_owned());
    };
    let scenario = Scenario::read(Path::new(scenario))?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
    let (run, workers) = (number(run)?, number(workers)?);
    let directory = Path::new(directory);
    let app = build(scenario.application_of(run)?, directory)?;
    let mut options = Options::with_workers(workers);
    if scenario.store {
        let store = StoreOptions::new(directory.join("store").to_string_lossy());
        let mut store = store.every(Duration::from_millis(20));
        let given = &scenario.runs[run].options;
        for name in &given.drop_states {
            store = store.drop_state(name);
        }
        for (old, new) in &given.rename_states {
            store = store.rename_state(old, new);
        }
        options.store = Some(store);
    }
    app.run(options).map_err(|error| error.to_string())
}
