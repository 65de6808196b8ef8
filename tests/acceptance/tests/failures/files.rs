use wallaroo::{App, Code, ErrorKind, Options, file, file_sink, iter, source, tcp_listener};
use wallaroo_acceptance::ending;

use crate::check;

fn path(name: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join(name);
    (directory, path.to_str().expect("it is text").to_owned())
}

#[test]
fn a_missing_file_is_found_before_anything_runs() {
    let (_directory, path) = path("missing.csv");
    let app = App::new("shop").add(source("orders", file(&path).lines()).end());
    check(
        &ending::failure(app, Options::default()),
        ErrorKind::Unavailable,
        Code::SourceMissing,
        format!(
            "cannot open the source \"orders\": the file \"{path}\" does not exist; check the path"
        ),
    );
}

#[test]
fn a_directory_is_not_read_as_a_file() {
    let (directory, _) = path("");
    let path = directory.path().to_str().expect("it is text");
    let app = App::new("shop").add(source("orders", file(path).lines()).end());
    check(
        &ending::failure(app, Options::default()),
        ErrorKind::Unavailable,
        Code::SourceUnreadable,
        format!(
            "cannot open the source \"orders\": cannot read the file \"{path}\": it is a directory; \
             give the path of a file; streams can be sent to a TCP source"
        ),
    );
}

#[test]
fn a_sink_path_that_cannot_be_written_is_found_before_anything_runs() {
    let (_directory, path) = path("no/such/directory/out.jsonl");
    let app = App::new("shop")
        .add(source("numbers", iter(0..3u64)).to_sink("out", file_sink(&path).json()));
    check(
        &ending::failure(app, Options::default()),
        ErrorKind::Unavailable,
        Code::SinkOpen,
        format!(
            "cannot open the sink \"out\": cannot write the file \"{path}\": no such file or directory; \
             the directory {:?} does not exist: create it, or correct the path",
            path.trim_end_matches("/out.jsonl")
        ),
    );
}

#[test]
fn a_full_disk_fails_the_sink() {
    let numbers = source("numbers", iter(0..100_000u64));
    let app = App::new("shop").add(numbers.to_sink("out", file_sink("/dev/full").json()));
    check(
        &ending::failure(app, Options::default()),
        ErrorKind::Unavailable,
        Code::SinkWrite,
        "the sink \"out\" failed: cannot write to \"/dev/full\": no space left on the device; \
         correct the cause and start again, or write to a file",
    );
}

#[test]
fn a_port_in_use_is_found_before_anything_runs() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let app = App::new("shop").add(source("orders", tcp_listener(&address).lines()).end());
    check(
        &ending::failure(app, Options::default()),
        ErrorKind::Unavailable,
        Code::Listen,
        format!(
            "cannot open the source \"orders\": cannot listen on {address}: port in use; \
             stop the program that uses it, or choose another port (0 lets the system choose)"
        ),
    );
}
