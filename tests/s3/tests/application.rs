//! A whole application with its store in S3: killed, cut off, taken over, looked at.

use std::path::Path;

use wallaroo_crash::application::{AT_ONCE, COMMITTED};
use wallaroo_crash::check::check;
use wallaroo_crash::random::Random;
use wallaroo_s3::child::{Application, wallaroo};
use wallaroo_s3::proxy::Proxy;
use wallaroo_s3::server::{BUCKET, Server};
use wallaroo_s3::wait_for;

const COUNT: u64 = 30_000;
/// Where each commit takes a second.
const SLOW_COUNT: u64 = 6_000;
/// Not half way: an application that is to be met at work.
const ENDLESS: u64 = u64::MAX;

fn store() -> String {
    format!("s3://{BUCKET}/some/prefix")
}

fn start(
    directory: &Path,
    count: u64,
    endpoint: std::net::SocketAddr,
    more: &[&str],
) -> Application {
    let store = store();
    let mut arguments = vec!["--store", &store, "--checkpoint-every", "50ms"];
    arguments.extend(more);
    Application::start(directory, count, 1, endpoint, &arguments)
}

fn checked(directory: &Path, count: u64) {
    for file in [COMMITTED, AT_ONCE] {
        check(&directory.join(file), count).expect("every message is counted once");
    }
}

fn has_rows(directory: &Path, rows: usize) -> bool {
    let text = std::fs::read(directory.join(COMMITTED)).unwrap_or_default();
    text.iter().filter(|byte| **byte == b'\n').count() > rows
}

/// Waits until so many rows are committed.
fn wait_for_rows(directory: &Path, rows: usize) {
    wait_for("committed rows", || has_rows(directory, rows).then_some(()));
}

#[test]
fn killed_at_random_it_counts_every_message_once() {
    let server = Server::start();
    let directory = tempfile::tempdir().expect("a directory");
    let mut random = Random(2026);
    let mut kills = 0;
    while kills < 15 {
        let workers = random.between(1, 3).to_string();
        let application = start(
            directory.path(),
            COUNT,
            server.address(),
            &["--workers", &workers],
        );
        let time = std::time::Duration::from_millis(random.between(20, 900));
        std::thread::park_timeout(time);
        if !application.kill() {
            break;
        }
        kills += 1;
    }
    let (status, errors) = start(directory.path(), COUNT, server.address(), &[]).end();
    assert!(status.success(), "{errors}");
    assert!(kills > 3, "{kills} kills");
    checked(directory.path(), COUNT);
}

#[test]
fn behind_a_bad_network_it_counts_every_message_once() {
    let server = Server::start();
    let proxy = Proxy::to(server.address(), 41);
    let directory = tempfile::tempdir().expect("a directory");
    let start = || start(directory.path(), SLOW_COUNT, proxy.address(), &[]);
    // the way to the store may be bad at the moment of a start: a supervisor starts it again
    let mut application = start();
    wait_for("committed rows", || {
        if application.has_ended() {
            let (_, errors) = std::mem::replace(&mut application, start()).end();
            assert!(errors.contains("WAL-0701"), "{errors}");
        }
        has_rows(directory.path(), 1000).then_some(())
    });
    assert!(application.kill(), "it was at work");
    wait_for("a start that succeeds", || {
        let (status, errors) = start().end();
        assert!(status.success() || errors.contains("WAL-0701"), "{errors}");
        status.success().then_some(())
    });
    assert!(
        proxy.spoilt() > 5,
        "{} requests were spoilt",
        proxy.spoilt()
    );
    checked(directory.path(), SLOW_COUNT);
}

#[test]
fn when_the_server_is_gone_for_a_while_it_waits_and_goes_on() {
    let mut server = Server::start();
    let directory = tempfile::tempdir().expect("a directory");
    let application = start(directory.path(), COUNT, server.address(), &[]);
    wait_for_rows(directory.path(), 1000);
    server.kill();
    std::thread::park_timeout(std::time::Duration::from_secs(1));
    server.go_on();
    let (status, errors) = application.end();
    assert!(status.success(), "{errors}");
    assert!(errors.contains("checkpoints pause"), "{errors}");
    checked(directory.path(), COUNT);
}

#[test]
fn the_second_process_takes_over_and_the_first_ends() {
    let server = Server::start();
    let directory = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    let first = start(directory.path(), ENDLESS, server.address(), &[]);
    wait_for_rows(directory.path(), 1000);
    // with files of its own, as on another machine; the first has published beyond them
    let resets = ["--reset-sink", "committed", "--reset-sink", "at-once"];
    let second = start(other.path(), ENDLESS, server.address(), &resets);
    let (status, errors) = first.end();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("error: WAL-0704"), "{errors}");
    wait_for_rows(other.path(), 1000);
    assert!(second.kill(), "the second goes on");
}

#[test]
fn the_command_looks_into_it() {
    let server = Server::start();
    let directory = tempfile::tempdir().expect("a directory");
    let (status, errors) = start(
        directory.path(),
        2000,
        server.address(),
        &["--savepoint", "begin"],
    )
    .end();
    assert!(status.success(), "{errors}");
    for arguments in [
        vec!["checkpoint", "list"],
        vec!["checkpoint", "verify"],
        vec!["state", "list"],
    ] {
        let store = store();
        let mut call = arguments.clone();
        call.extend(["--store", &store]);
        let said = wallaroo(server.address(), &call);
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success(), "{arguments:?}: {text}");
        assert!(!said.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn what_is_wrong_with_the_address_is_told_before_anything_runs() {
    let server = Server::start();
    let directory = tempfile::tempdir().expect("a directory");
    let no_bucket = ["--store", "s3://no-such-bucket/store"];
    let (status, errors) =
        Application::start(directory.path(), 10, 1, server.address(), &no_bucket).end();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("error: WAL-0701"), "{errors}");
    assert!(errors.contains("there is no such bucket"), "{errors}");
}
