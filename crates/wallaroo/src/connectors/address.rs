//! Addresses of byte connectors, as they stand in `--in NAME=ADDRESS` and `--out NAME=ADDRESS`.
//!
//! A path, `file://PATH`, `tcp://HOST:PORT` or its short form `HOST:PORT`; for sinks also `stdout:` (or `-`)
//! and `discard:`.
//!
//! **Invariants.** An address is parsed here once; what is passed on needs no further check of its form.
//! `HOST:PORT` means TCP only where the part behind the last colon is a port and no `/` is in it, so that a
//! path can always be written as `./NAME` or `file://NAME`.

use std::path::PathBuf;

use wallaroo_core::{Code, ConnectorError};

#[cfg(test)]
mod tests;

/// Where bytes come from or go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A file.
    File(PathBuf),
    /// `HOST:PORT`.
    Tcp(String),
    /// The standard output of the process.
    Stdout,
    /// Nowhere.
    Discard,
}

impl Address {
    /// The address of a source.
    pub(super) fn of_source(text: &str) -> Result<Address, ConnectorError> {
        const KNOWN: &str = "a path, file://PATH or tcp://HOST:PORT";
        match parse(text, KNOWN)? {
            Address::Stdout | Address::Discard => Err(scheme(text, "read from", KNOWN)),
            address @ (Address::File(_) | Address::Tcp(_)) => Ok(address),
        }
    }

    /// The address of a sink.
    pub(super) fn of_sink(text: &str) -> Result<Address, ConnectorError> {
        parse(
            text,
            "a path, file://PATH, tcp://HOST:PORT, stdout: or discard:",
        )
    }
}

/// Checks that `text` is `HOST:PORT`.
pub(super) fn host_and_port(text: &str) -> Result<String, ConnectorError> {
    if is_host_and_port(text) {
        return Ok(text.to_owned());
    }
    Err(ConnectorError::new(format!(
        "cannot use the TCP address {text:?}: expected HOST:PORT"
    ))
    .with_help("write it like 127.0.0.1:7010, or 0.0.0.0:7010 for all interfaces")
    .with_code(Code::Address))
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let host_is_plain = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        !host.is_empty()
            && host_is_plain
            && !text.contains('/')
            && !port.starts_with('+')
            && port.parse::<u16>().is_ok()
    })
}

fn parse(text: &str, known: &str) -> Result<Address, ConnectorError> {
    match text {
        "-" | "stdout:" | "stdout://" => return Ok(Address::Stdout),
        "discard:" | "discard://" => return Ok(Address::Discard),
        "" => {
            return Err(ConnectorError::new("cannot use an empty address")
                .with_help(format!("expected {known}"))
                .with_code(Code::Address));
        }
        _ => {}
    }
    match text.split_once("://") {
        Some(("tcp", rest)) => host_and_port(rest).map(Address::Tcp),
        Some(("file", "")) => Err(ConnectorError::new(format!(
            "cannot use the address {text:?}: it has no path"
        ))
        .with_help("write it like file://stocks.csv, or file:///var/data/stocks.csv from the root")
        .with_code(Code::Address)),
        Some(("file", path)) => Ok(Address::File(PathBuf::from(path))),
        Some(_) => Err(scheme(text, "use", known)),
        None if is_host_and_port(text) => Ok(Address::Tcp(text.to_owned())),
        None => Ok(Address::File(PathBuf::from(text))),
    }
}

fn scheme(text: &str, verb: &str, known: &str) -> ConnectorError {
    ConnectorError::new(format!("cannot {verb} {text:?}: expected {known}")).with_code(Code::Scheme)
}
