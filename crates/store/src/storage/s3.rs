//! Stores in S3 and what speaks its protocol.
//!
//! **Invariants.** Creates are conditional puts (`If-None-Match: *`), which the service must know. Nothing is sent without TLS
//! but to a loopback address.

use std::net::IpAddr;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;

use super::StorageError;
use super::name;
use super::object::{Executor, Objects};
use super::open::refused;

/// The store at `s3://BUCKET/PREFIX`.
pub(crate) fn open(address: &str, bucket_and_prefix: &str) -> Result<Objects, StorageError> {
    let (bucket, prefix) = bucket_and_prefix
        .split_once('/')
        .unwrap_or((bucket_and_prefix, ""));
    let prefix = prefix.trim_end_matches('/');
    if !prefix.is_empty() {
        name::check("open", prefix, address)?;
    }
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
        .iter()
        .find_map(|variable| std::env::var(variable).ok());
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_allow_http(endpoint.as_deref().is_some_and(is_loopback))
        .build()
        .map_err(|error| refused(address, error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| refused(address, error.to_string()))?;
    Ok(Objects {
        store: Box::new(store),
        prefix: Path::from(prefix),
        place: address.to_owned(),
        executor: Executor::Runtime(runtime),
        directory: None,
    })
}

/// Whether an endpoint is of this machine: `http://127.0.0.1:9000`, `http://[::1]:9000`, `http://localhost:9000`.
fn is_loopback(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for endpoint in [
            "http://127.0.0.1:9000",
            "http://[::1]:9000/path",
            "http://localhost",
        ] {
            assert!(is_loopback(endpoint), "{endpoint}");
        }
        for endpoint in [
            "http://example.com",
            "https://127.0.0.1",
            "http://127.0.0.1.example.com",
            "http://localhost@example.com",
            "127.0.0.1",
        ] {
            assert!(!is_loopback(endpoint), "{endpoint}");
        }
    }
}
