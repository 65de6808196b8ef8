//! Which requests are answered: `GET`, and for this server.
//!
//! A page on the web can let a browser send requests to any address, and with a name of its own that leads to 127.0.0.1 it could read the
//! answers (DNS rebinding). The browser tells the name in `Host`, so other names than this machine's own are refused.
//!
//! **Invariants.** A request that is refused never reaches a page, and so never asks for a report.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::header::{ALLOW, HOST};
use axum::http::{HeaderMap, Method, StatusCode, Uri};

/// What HTTP takes for the port where none stands.
const HTTP_PORT: u16 = 80;

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) headers: &'static [(axum::http::HeaderName, &'static str)],
}

/// Checks a request to the server at `bound`.
pub(crate) fn check(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    bound: SocketAddr,
) -> Result<(), Refused> {
    if method != Method::GET {
        return Err(Refused {
            status: StatusCode::METHOD_NOT_ALLOWED,
            text: format!("{method} is not known here; use GET\n"),
            headers: &[(ALLOW, "GET")],
        });
    }
    // whoever listens to the network has said so, and is reached under names that are not known here
    if !is_loopback(bound.ip()) {
        return Ok(());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        (None, _) | (Some(_), Some(_)) => None,
    };
    let of_uri = uri.authority().map(|authority| authority.as_str());
    let is_ours = |host: &str| is_own(host, bound);
    if host.is_some_and(is_ours) && of_uri.is_none_or(is_ours) {
        return Ok(());
    }
    Err(Refused {
        status: StatusCode::FORBIDDEN,
        text: format!("the header Host must name this machine; use http://{bound}\n"),
        headers: &[],
    })
}

/// Whether only this machine can reach an address.
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether a host and port are this server's.
fn is_own(authority: &str, bound: SocketAddr) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => match port.parse::<u16>() {
            Ok(number) if port.bytes().all(|digit| digit.is_ascii_digit()) => (host, number),
            Ok(_) | Err(_) => return false,
        },
        Some(_) | None => (authority, HTTP_PORT),
    };
    let ip = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(ip) => ip.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        None => host.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
    };
    let is_name = host.eq_ignore_ascii_case("localhost");
    let own = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
        bound.ip(),
    ];
    port == bound.port() && (is_name || ip.is_some_and(|ip| own.contains(&ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_with_the_port_are_own() {
        let bound: SocketAddr = "127.0.0.2:7100".parse().expect("is one");
        for own in [
            "localhost:7100",
            "LOCALHOST:7100",
            "127.0.0.1:7100",
            "[::1]:7100",
            "127.0.0.2:7100",
        ] {
            assert!(is_own(own, bound), "{own}");
        }
        for other in [
            "",
            ":7100",
            "localhost",
            "localhost:",
            "localhost:7101",
            "localhost:+7100",
            "localhost.:7100",
            "127.0.0.1",
            "127.0.0.3:7100",
            "127.1:7100",
            "::1:7100",
            "[::1]",
            "[127.0.0.1]:7100",
            "evil.example:7100",
            "localhost.evil.example:7100",
            "user@localhost:7100",
            "localhost:7100:7100",
            " localhost:7100",
        ] {
            assert!(!is_own(other, bound), "{other}");
        }
        let at_80: SocketAddr = "127.0.0.1:80".parse().expect("is one");
        for own in ["localhost", "127.0.0.1", "[::1]", "localhost:80"] {
            assert!(is_own(own, at_80), "{own}");
        }
    }
}
