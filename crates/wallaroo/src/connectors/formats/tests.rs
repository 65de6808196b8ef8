//! What the formats read, and what they say when they cannot.

use ::csv::StringRecord;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::connectors::testing::refusal;

#[derive(Debug, PartialEq, Deserialize)]
struct Tick {
    symbol: String,
    close: f64,
    #[serde(default)]
    volume: u32,
}

fn csv(header: &str) -> Result<Box<dyn Decoder<Tick>>, ConnectorError> {
    let mut decoder = Csv::<Tick>::new().decoder();
    decoder.header(header.as_bytes()).map(|()| decoder)
}

#[test]
fn columns_are_found_by_name() {
    let mut ticks = csv("close,unknown,symbol").unwrap();
    let expected = Tick {
        symbol: "A,\"B\"".into(),
        close: 1.5,
        volume: 0,
    };
    assert_eq!(
        ticks.decode(b"1.5,x,\"A,\"\"B\"\"\"").unwrap(),
        Some(expected)
    );
    assert_eq!(ticks.decode(b"").unwrap(), None);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_column() {
    assert_eq!(
        csv("\u{feff}symbol,close")
            .unwrap()
            .decode(b"A,1")
            .unwrap()
            .unwrap()
            .symbol,
        "A"
    );
}

#[test]
fn a_row_without_header_is_read_by_place() {
    let mut rows = Csv::<(String, u8)>::new()
        .delimiter(b';')
        .without_header()
        .decoder();
    assert_eq!(rows.decode(b"a;7").unwrap(), Some(("a".to_owned(), 7)));
}

#[test]
fn a_missing_column_is_found_in_the_header() {
    let expected = "the header has no column \"close\", it has \"symbol\", \"volume\"; correct the header, rename the field \
                    with #[serde(rename)], or give it #[serde(default)]";
    assert_eq!(
        refusal(csv("symbol,volume")),
        (Code::Column, expected.to_owned())
    );
}

mod missing {
    use super::*;
    use std::net::IpAddr;

    fn header<T: serde::de::DeserializeOwned + 'static>(header: &str) -> Result<(), Code> {
        Csv::<T>::new()
            .decoder()
            .header(header.as_bytes())
            .map_err(|error| error.code().unwrap())
    }

    /// Takes text of one form only, which no made-up value has.
    #[derive(Debug)]
    struct Odd;

    impl<'de> Deserialize<'de> for Odd {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            (text == "odd")
                .then_some(Odd)
                .ok_or_else(|| serde::de::Error::custom("expected odd"))
        }
    }

    #[derive(Deserialize)]
    enum Side {
        Buy,
        Sell,
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its columns count")]
    struct Order {
        side: Side,
        from: IpAddr,
        sure: bool,
        id: std::num::NonZeroU8,
        small: i8,
        unit: char,
        limit: Option<f32>,
        #[serde(alias = "amount")]
        quantity: u64,
        last: u8,
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its columns count")]
    struct WithOdd {
        odd: Odd,
        last: Option<u8>,
        needed: u8,
    }

    #[test]
    fn it_is_found_for_values_of_many_kinds() {
        assert_eq!(
            header::<Order>("side,from,sure,id,small,unit,limit,amount"),
            Err(Code::Column)
        );
        assert_eq!(
            header::<Order>("side,from,sure,id,small,unit,amount,last"),
            Ok(())
        );
        let _ = (Side::Buy, Side::Sell);
    }

    #[test]
    fn what_the_header_cannot_tell_the_first_row_does() {
        assert_eq!(header::<WithOdd>("odd"), Ok(()));
        let mut rows = Csv::<WithOdd>::new().decoder();
        rows.header(b"odd").unwrap();
        assert_eq!(refusal(rows.decode(b"odd")).0, Code::Column);
    }

    #[test]
    fn types_without_names_take_any_header() {
        assert_eq!(header::<(u8, u8)>("a,b"), Ok(()));
        assert_eq!(
            header::<std::collections::BTreeMap<String, String>>("a,b"),
            Ok(())
        );
    }
}

#[test]
fn errors_of_rows_say_where_and_what_was_expected() {
    let mut ticks = csv("symbol,close,volume").unwrap();
    let mut check = |row: &[u8], code: Code, text: &str| {
        assert_eq!(refusal(ticks.decode(row)), (code, text.to_owned()))
    };
    check(
        b"\"a,b\",high,1",
        Code::Decode,
        "cannot decode column \"close\" at byte 7: expected a number, found \"high\"",
    );
    check(
        b"a,1,x",
        Code::Decode,
        "cannot decode column \"volume\" at byte 5: expected a whole number, found \"x\"",
    );
    check(
        b"a,1,-1",
        Code::Decode,
        "cannot decode column \"volume\" at byte 5: expected a whole number, found \"-1\"",
    );
    check(
        b"a,1,4294967296",
        Code::Decode,
        "cannot decode column \"volume\" at byte 5: expected a smaller whole number, found \"4294967296\"",
    );
    check(
        b"a,1",
        Code::Decode,
        "the row has 2 columns, the header has 3; quote columns that contain the delimiter or a line end",
    );
    check(
        b"a\xff,1,2",
        Code::Utf8,
        "expected UTF-8 text, found another byte at byte 2; convert the input to UTF-8, or read the bytes yourself with \
         decode",
    );
}

#[test]
fn json_errors_name_the_byte() {
    let mut json = Json::<Tick>::new().decoder();
    let mut check = |frame: &str, text: &str| {
        assert_eq!(
            refusal(json.decode(frame.as_bytes())),
            (Code::Decode, text.to_owned())
        )
    };
    check(
        "{\"symbol\":\"a\"}",
        "cannot decode JSON at byte 14: missing field `close`",
    );
    check(
        "{\"symbol\":\n1}",
        "cannot decode JSON at byte 12: invalid type: integer `1`, expected a string",
    );
    check(
        "{\"symbol\"",
        "cannot decode JSON at byte 9: EOF while parsing an object",
    );
    check("nonsense", "cannot decode JSON at byte 2: expected ident");
}

#[test]
fn blank_json_lines_are_no_records() {
    let mut json = Json::<u8>::new().decoder();
    assert_eq!(
        (
            json.decode(b"").unwrap(),
            json.decode(b" \t").unwrap(),
            json.decode(b"7").unwrap()
        ),
        (None, None, Some(7))
    );
}

#[test]
fn errors_of_functions_keep_their_code_or_get_one() {
    let own = || ConnectorError::new("too old").with_code(Code::Truncated);
    let error = |error: BoxError| of_user(error, "cannot decode the record", Code::Decode);
    assert_eq!(
        refusal::<()>(Err(error(own().into()))),
        (Code::Truncated, "too old".into())
    );
    assert_eq!(
        refusal::<()>(Err(error(ConnectorError::new("odd").into()))),
        (Code::Decode, "odd".into())
    );
    assert_eq!(
        refusal::<()>(Err(error("odd".into()))),
        (Code::Decode, "cannot decode the record".into())
    );
}

#[test]
#[should_panic(expected = "must be an ASCII character other than a quote or a line end")]
fn a_quote_is_no_delimiter() {
    let _ = Csv::<Tick>::new().delimiter(b'"');
}

proptest! {
    #[test]
    fn rows_are_split_as_the_csv_crate_does(row in prop::collection::vec(prop::sample::select(vec!["a", "é", ",", "\"", "\"\"", " "]), 1..30)) {
        let row = row.concat();
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(row.as_bytes());
        let mut expected = StringRecord::new();
        prop_assert!(reader.read_record(&mut expected).unwrap());
        let mut found = StringRecord::new();
        csv::split::split(&row, b',', &mut found, &mut String::new());
        prop_assert_eq!(found, expected);
    }
}
