//! Sources and sinks that the command line replaces.
//!
//! **Invariants.** Every name is checked before the application starts; a wrong one is answered with the right ones.

use wallaroo_core::{Code, NodeKind};

use super::arguments::{Program, Redirection, Side};
use super::names::closest;
use crate::app::{App, Named};
use crate::error::{Error, ErrorKind};

/// Lets sources and sinks read from and write to other addresses.
pub(super) fn redirect(
    app: &App,
    program: &Program,
    redirections: &[Redirection],
) -> Result<(), Error> {
    for redirection in redirections {
        let Redirection {
            side,
            given_by,
            name,
            address,
        } = redirection;
        let kind = match side {
            Side::In => NodeKind::Source,
            Side::Out => NodeKind::Sink,
        };
        match app.redirect(name, address, &kind) {
            Ok(true) => {}
            Ok(false) => return Err(unknown(program, redirection)),
            Err(error) => {
                let code = error.code().unwrap_or(Code::Address);
                let text = format!("{given_by} for {side} {name:?}: {error}");
                return Err(Error::new(ErrorKind::Invalid, code, text));
            }
        }
    }
    Ok(())
}

/// The application has no source, or no sink, of that name.
fn unknown(program: &Program, redirection: &Redirection) -> Error {
    let Redirection {
        side,
        given_by,
        name,
        ..
    } = redirection;
    let (known, others) = match side {
        Side::In => (names(&program.sources), names(&program.sinks)),
        Side::Out => (names(&program.sinks), names(&program.sources)),
    };
    let list = match known.as_slice() {
        [] => format!("it has no {side}s"),
        [only] => format!("its only {side} is {only:?}"),
        [_, _, ..] => format!("its {side}s are {}", quoted(&known)),
    };
    let help = if others.contains(name) {
        let other = side.other();
        format!("{name:?} is a {other}: use {}", other.option())
    } else if let Some(meant) = closest(name, &known) {
        format!("did you mean {meant:?}? {list}")
    } else {
        list
    };
    let application = &program.name;
    let text = format!(
        "{given_by} names {name:?}, but the application {application:?} has no {side} of that name; {help}"
    );
    Error::new(ErrorKind::Invalid, Code::UnknownConnector, text)
}

fn names(named: &[Named]) -> Vec<String> {
    named.iter().map(|(name, _)| name.clone()).collect()
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    names.join(", ")
}
