//! Stores in S3 and what speaks its protocol.
//!
//! **Invariants.** Creates are conditional puts (`If-None-Match: *`), which the service must know. Nothing is sent without TLS
//! but to a loopback address, or where `AWS_ALLOW_HTTP` says so. Every request ends, and what is tried again is tried for
//! [`RETRY`] only: whoever calls knows better how to go on.

use std::net::IpAddr;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, RetryConfig};
use tokio::runtime::{EnterGuard, Runtime};

use super::StorageError;
use super::name;
use super::object::{Executor, Objects};
use super::open::refused;

/// A request and its answer.
const REQUEST: Duration = Duration::from_secs(30);
/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Within this time a request that has failed in passing is sent again; then the caller is told.
const RETRY: Duration = Duration::from_secs(10);
/// As often at most.
const RETRIES: usize = 4;
/// A connection that was not used for so long is not used again. Servers close theirs after 5 s and more; a put that meets a
/// connection just closed cannot be repeated without looking back.
const IDLE: Duration = Duration::from_secs(4);

/// The runtime that drives connections.
pub(crate) struct Connections(Option<Runtime>);

impl Connections {
    fn new() -> std::io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime
            .worker_threads(1)
            .thread_name("wallaroo-s3")
            .enable_all();
        runtime.build().map(|runtime| Connections(Some(runtime)))
    }

    /// Lets futures of this thread use the connections. Unlike `block_on` it may be called within another runtime.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.0
            .as_ref()
            .expect("is there until it is dropped")
            .enter()
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // a plain drop waits, which is refused within another runtime
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

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
    if bucket.is_empty() {
        let cause = "an address in S3 is s3://BUCKET/PREFIX".to_owned();
        return Err(refused(address, cause));
    }
    let http = endpoint.as_deref().is_some_and(is_loopback)
        || std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value == "true");
    if let Some(endpoint) = &endpoint
        && endpoint.starts_with("http://")
        && !http
    {
        let cause = format!(
            "the endpoint {endpoint:?} speaks without TLS; use https://, or allow it with AWS_ALLOW_HTTP=true"
        );
        return Err(refused(address, cause));
    }
    let mut builder = AmazonS3Builder::from_env();
    let client = [
        (ClientConfigKey::Timeout, REQUEST),
        (ClientConfigKey::ConnectTimeout, CONNECT),
        (ClientConfigKey::PoolIdleTimeout, IDLE),
    ];
    for (key, time) in client {
        let seconds = format!("{} seconds", time.as_secs());
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), seconds);
    }
    let mut builder = builder
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_allow_http(http)
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES,
            retry_timeout: RETRY,
        });
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder
        .build()
        .map_err(|error| refused(address, error.to_string()))?;
    let connections = Connections::new().map_err(|error| refused(address, error.to_string()))?;
    Ok(Objects {
        store: Box::new(store),
        prefix: Path::from(prefix),
        place: address.to_owned(),
        executor: Executor::Runtime(connections),
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
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::storage::{ErrorKind, Storage};

    /// Answers each request by its method, until it is dropped with the process.
    fn server(answer: fn(&str) -> &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("has an address");
        let serve = move || {
            for mut client in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let read = client.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]);
                let method = request.split(' ').next().unwrap_or("");
                let _ = client.write_all(answer(method).as_bytes());
            }
        };
        let thread = std::thread::Builder::new().spawn(serve);
        drop(thread.expect("a thread"));
        format!("http://{address}")
    }

    /// It was taken for an object that is there; none was found when it was read, so the process took itself for fenced.
    #[test]
    fn a_conflict_with_another_request_is_no_object() {
        let endpoint = server(|method| match method {
            "PUT" => "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        });
        let store = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_access_key_id("key")
            .with_secret_access_key("secret")
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .build();
        let objects = Objects {
            store: Box::new(store.expect("can be built")),
            prefix: Path::from("prefix"),
            place: "s3://bucket/prefix".to_owned(),
            executor: Executor::Runtime(Connections::new().expect("a thread")),
            directory: None,
        };
        let error = objects.create("log/1", b"").expect_err("it is not clear");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    }

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
