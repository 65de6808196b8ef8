use wallaroo::{App, Code, ErrorKind, iter, source, stdout};

use crate::{check, error, place};

#[test]
fn a_message_that_cannot_be_encoded_is_told_with_the_sink() {
    let app = || {
        let encode = |number: &u64, _: &mut Vec<u8>| match number {
            7 => Err("seven is not printed".into()),
            _ => Ok(()),
        };
        let numbers = source("numbers", iter([1u64, 7]));
        App::new("shop").add(numbers.to_sink("rows", stdout().encode(encode)))
    };
    let line = line!() - 2;
    check(
        &error(app),
        ErrorKind::User,
        Code::Encode,
        format!(
            "the sink \"rows\" ({}) cannot encode a message: cannot encode the message: seven is not printed; \
             source \"numbers\", iterator, record 2; message 7; \
             choose another format, or change the message in a stage before the sink",
            place!(line)
        ),
    );
}
