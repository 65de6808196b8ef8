use std::collections::BTreeMap;

use wallaroo::{App, Code, ErrorKind, iter, source, stdout};

use crate::{check, error, place};

#[test]
fn a_message_that_a_format_cannot_hold_is_told_with_the_sink() {
    let app = || {
        let nested = source("maps", iter([BTreeMap::from([(1u8, 2u8)])]));
        App::new("shop").add(nested.to_sink("rows", stdout().csv()))
    };
    let line = line!() - 2;
    check(
        &error(app),
        ErrorKind::User,
        Code::Encode,
        format!(
            "the sink \"rows\" ({}) cannot encode a message: cannot encode the message as CSV: maps are not supported; \
             a row has plain values only; use json for messages with lists or maps; \
             source \"maps\", iterator, record 1; message {{\"1\":2}}; \
             choose another format, or change the message in a stage before the sink",
            place!(line)
        ),
    );
}
