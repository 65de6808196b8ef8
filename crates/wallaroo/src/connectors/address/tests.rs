//! Which text means which address, and what the errors say.

use super::*;

fn text(result: Result<Address, ConnectorError>) -> (Code, String) {
    let error = result.unwrap_err();
    (error.code().unwrap(), error.to_string())
}

#[test]
fn addresses_are_told_apart() {
    let check = |text: &str, expected: Address| {
        assert_eq!(Address::of_sink(text).unwrap(), expected, "{text}")
    };
    check("stocks.csv", Address::File("stocks.csv".into()));
    check("./a:1", Address::File("./a:1".into()));
    check("file://a/b.csv", Address::File("a/b.csv".into()));
    check("file:///a/b.csv", Address::File("/a/b.csv".into()));
    check(
        "tcp://127.0.0.1:7010",
        Address::Tcp("127.0.0.1:7010".into()),
    );
    check("localhost:7010", Address::Tcp("localhost:7010".into()));
    check("[::1]:0", Address::Tcp("[::1]:0".into()));
    check("a:99999", Address::File("a:99999".into()));
    check("-", Address::Stdout);
    check("stdout:", Address::Stdout);
    check("discard:", Address::Discard);
}

#[test]
fn addresses_that_cannot_be_used_say_what_was_expected() {
    let tcp = "; write it like 127.0.0.1:7010, or 0.0.0.0:7010 for all interfaces";
    assert_eq!(
        text(Address::of_source("tcp://127.0.0.1")),
        (
            Code::Address,
            format!("cannot use the TCP address \"127.0.0.1\": expected HOST:PORT{tcp}")
        )
    );
    assert_eq!(
        text(Address::of_source("tcp://:7010")),
        (
            Code::Address,
            format!("cannot use the TCP address \":7010\": expected HOST:PORT{tcp}")
        )
    );
    assert_eq!(
        text(Address::of_source("kafka://broker/topic")),
        (
            Code::Scheme,
            "cannot use \"kafka://broker/topic\": expected a path, file://PATH or tcp://HOST:PORT"
                .into()
        )
    );
    assert_eq!(
        text(Address::of_source("stdout:")),
        (
            Code::Scheme,
            "cannot read from \"stdout:\": expected a path, file://PATH or tcp://HOST:PORT".into()
        )
    );
    assert_eq!(
        text(Address::of_sink("")),
        (
            Code::Address,
            "cannot use an empty address; expected a path, file://PATH, tcp://HOST:PORT, stdout: or discard:".into()
        )
    );
    assert_eq!(
        text(Address::of_sink("file://")),
        (
            Code::Address,
            "cannot use the address \"file://\": it has no path; write it like file://stocks.csv, or \
             file:///var/data/stocks.csv from the root"
                .into()
        )
    );
}
