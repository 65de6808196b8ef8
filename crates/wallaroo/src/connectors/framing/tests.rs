//! Framing, against a plain model, for every way of splitting the stream into reads.

use proptest::prelude::*;

use wallaroo_core::Code;

use super::*;

/// What a cutter made of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Frame(Vec<u8>),
    Rejected(Vec<u8>, Code),
    Broken(Code),
}

/// Cuts `stream`, of which more comes into view by the given pieces.
fn cut(framing: Framing, stream: &[u8], pieces: &[usize]) -> Vec<Seen> {
    let (mut cutter, mut seen, mut start, mut view) = (framing.cutter(false), Vec::new(), 0, 0);
    let mut pieces = pieces.iter().cycle();
    loop {
        let bytes = &stream[start..view];
        let at_end = view == stream.len();
        let mut result = cutter.cut(bytes);
        if at_end && matches!(result, Cut::Partial { .. }) {
            result = cutter.cut_last(bytes);
        }
        match result {
            Cut::Frame {
                start: from,
                end,
                next,
            } => {
                seen.push(Seen::Frame(bytes[from..end].to_vec()));
                start += next;
            }
            Cut::Reject { shown, next, fault } => {
                seen.push(Seen::Rejected(
                    bytes[..shown].to_vec(),
                    fault.error().code().unwrap(),
                ));
                start += next;
            }
            Cut::Skip { next } => start += next,
            Cut::Broken { fault, .. } => {
                seen.push(Seen::Broken(fault.error().code().unwrap()));
                return seen;
            }
            Cut::Partial { need } if !at_end => {
                assert!(need > bytes.len(), "what is there must not be asked for");
                view = stream.len().min(view + pieces.next().unwrap().max(&1));
            }
            Cut::Partial { .. } => {
                assert_eq!(start, stream.len(), "all bytes have been taken");
                return seen;
            }
        }
    }
}

fn lines(max_line_bytes: usize) -> Framing {
    Framing {
        unit: Unit::Lines,
        max_line_bytes,
        max_frame_bytes: 0,
    }
}

fn rows(max_line_bytes: usize) -> Framing {
    Framing {
        unit: Unit::Quoted { delimiter: b',' },
        max_line_bytes,
        max_frame_bytes: 0,
    }
}

fn lengths(header: FrameHeader, max_frame_bytes: usize) -> Framing {
    Framing {
        unit: Unit::Lengths(header),
        max_line_bytes: 0,
        max_frame_bytes,
    }
}

fn frames(texts: &[&str]) -> Vec<Seen> {
    texts
        .iter()
        .map(|text| Seen::Frame(text.as_bytes().to_vec()))
        .collect()
}

fn any_header() -> impl Strategy<Value = FrameHeader> {
    let widths = [
        FrameHeader::u8(),
        FrameHeader::u16(),
        FrameHeader::u32(),
        FrameHeader::u64(),
    ];
    (prop::sample::select(widths.to_vec()), any::<bool>()).prop_map(|(header, little)| {
        if little {
            header.little_endian()
        } else {
            header
        }
    })
}

/// Text that is mostly what makes framing hard.
fn hard_text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"ab,\"\"\n\n\r".to_vec()), 0..120)
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..9, 1..20)
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_the_reads(stream in hard_text(), pieces in pieces(), max in 1usize..12) {
        prop_assert_eq!(cut(lines(max), &stream, &pieces), cut(lines(max), &stream, &[stream.len()]));
    }

    #[test]
    fn rows_do_not_depend_on_the_reads(stream in hard_text(), pieces in pieces(), max in 1usize..30) {
        prop_assert_eq!(cut(rows(max), &stream, &pieces), cut(rows(max), &stream, &[stream.len()]));
    }

    #[test]
    fn lines_are_what_split_makes(stream in hard_text(), pieces in pieces()) {
        let mut expected: Vec<_> = stream.split(|byte| *byte == b'\n').collect();
        if expected.last().is_some_and(|line| line.is_empty()) {
            expected.pop();
        }
        let expected: Vec<_> =
            expected.iter().map(|line| Seen::Frame(line.strip_suffix(b"\r").unwrap_or(line).to_vec())).collect();
        prop_assert_eq!(cut(lines(1000), &stream, &pieces), expected);
    }

    #[test]
    fn framed_records_come_back(header in any_header(), records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20), pieces in pieces()) {
        let mut stream = Vec::new();
        for record in &records {
            let start = stream.len();
            stream.resize(start + header.width(), 0);
            assert!(header.write(record.len(), &mut stream[start..]));
            stream.extend_from_slice(record);
        }
        let expected: Vec<_> = records.into_iter().map(Seen::Frame).collect();
        prop_assert_eq!(cut(lengths(header, 200), &stream, &pieces), expected);
    }

    #[test]
    fn any_bytes_can_be_cut_as_frames(header in any_header(), stream in prop::collection::vec(any::<u8>(), 0..100), pieces in pieces()) {
        prop_assert_eq!(cut(lengths(header, 60), &stream, &pieces), cut(lengths(header, 60), &stream, &[100]));
    }
}

#[test]
fn the_last_line_needs_no_line_end() {
    assert_eq!(cut(lines(9), b"a\r\n\nb\r", &[1]), frames(&["a", "", "b"]));
}

#[test]
fn a_line_of_the_limit_is_taken_and_a_longer_one_is_skipped_to_its_end() {
    let expected = vec![
        Seen::Frame(b"abc".to_vec()),
        Seen::Rejected(b"abc".to_vec(), Code::LineTooLong),
        Seen::Frame(b"x".to_vec()),
        Seen::Rejected(b"lon".to_vec(), Code::LineTooLong),
    ];
    assert_eq!(cut(lines(3), b"abc\r\nabcd\nx\nlonger", &[2]), expected);
}

#[test]
fn line_ends_within_quotes_belong_to_the_row() {
    let check = |stream: &str, expected: &[&str]| {
        assert_eq!(
            cut(rows(99), stream.as_bytes(), &[1]),
            frames(expected),
            "{stream:?}"
        )
    };
    check("a,\"b\nc\",d\ne\n", &["a,\"b\nc\",d", "e"]);
    check("\"a\"\"\n\"\"\"\r\nb\n", &["\"a\"\"\n\"\"\"", "b"]);
    check("a\"b\nc\"d\n", &["a\"b", "c\"d"]);
    check("\"a\"b\"\nc\n", &["\"a\"b\"", "c"]);
}

#[test]
fn one_stray_quote_costs_one_line() {
    let expected = [
        Seen::Rejected(
            b"x,\"stray\n1,2\n".to_vec()[..9].to_vec(),
            Code::LineTooLong,
        ),
        Seen::Frame(b"1,2".to_vec()),
    ];
    assert_eq!(cut(rows(9), b"x,\"stray\n1,2\n3,4\n", &[3])[..2], expected);
    let at_end = cut(rows(99), b"a\n\"open\nb\n", &[3]);
    assert_eq!(
        at_end,
        [
            Seen::Frame(b"a".to_vec()),
            Seen::Rejected(b"\"open\nb\n".to_vec(), Code::Truncated),
            Seen::Frame(b"b".to_vec())
        ]
    );
}

#[test]
fn a_frame_above_the_limit_breaks_the_stream() {
    let stream = [0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff, b'b'];
    let expected = [Seen::Frame(b"a".to_vec()), Seen::Broken(Code::FrameTooLong)];
    assert_eq!(
        cut(lengths(FrameHeader::default(), 16), &stream, &[1]),
        expected
    );
}

#[test]
fn errors_say_what_was_expected() {
    let text = |framing: Framing, stream: &[u8]| match framing.cutter(false).cut_last(stream) {
        Cut::Reject { fault, .. } | Cut::Broken { fault, .. } => fault.error().to_string(),
        cut => panic!("{cut:?}"),
    };
    assert_eq!(
        text(lines(3), b"abcdef"),
        "a line is longer than the limit of 3 bytes; check that the input is made of lines and that its quotes are \
         closed, or raise max_line_bytes"
    );
    assert_eq!(
        text(rows(99), b"a,\"b"),
        "the input ends within a quoted column; close the quote, or double it where it belongs to the text"
    );
    assert_eq!(
        text(lengths(FrameHeader::u16(), 99), b"\0\x05abc"),
        "the input ends within a record, after 5 of its bytes; check that the sender completes its last record before it \
         closes"
    );
    let Cut::Broken { fault, .. } = lengths(FrameHeader::u16(), 99)
        .cutter(false)
        .cut(b"\x01\x05abc")
    else {
        panic!()
    };
    assert_eq!(
        fault.error().to_string(),
        "a frame says it has 261 bytes, the limit is 99; check that the sender writes the length as this source reads \
         it, or raise max_frame_bytes"
    );
}
