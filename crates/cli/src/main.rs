//! The command `wallaroo`, as a program.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let said = wallaroo_cli::run(std::env::args_os());
    write(&mut std::io::stdout(), &said.output);
    write(&mut std::io::stderr(), &said.errors);
    ExitCode::from(said.code)
}

/// Nobody is there to be told when it cannot be written: whoever reads it has gone.
fn write(to: &mut dyn Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}
