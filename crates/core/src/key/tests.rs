//! Facts about keys: vectors, equality across types, spread over groups, refusals, text.
//!
//! **Invariants**
//! - The vectors are data of the format: a test that disagrees with them is wrong, or a new version was made.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;

/// Keys as objects. [`Key`] itself cannot be one, because a kind belongs to a type.
mod objects {
    use super::super::{Key, KeyError, KeyHash, StoredKey};

    pub(super) trait AnyKey {
        fn hash(&self) -> KeyHash;
        fn matches(&self, stored: &StoredKey) -> bool;
        fn to_stored(&self) -> Result<StoredKey, KeyError>;
    }

    impl<K: Key + ?Sized> AnyKey for K {
        fn hash(&self) -> KeyHash {
            Key::hash(self)
        }
        fn matches(&self, stored: &StoredKey) -> bool {
            Key::matches(self, stored)
        }
        fn to_stored(&self) -> Result<StoredKey, KeyError> {
            Key::to_stored(self)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|start| u8::from_str_radix(&text[start..start + 2], 16).unwrap())
        .collect()
}

/// The stored key of a key description; checks on the way that the Rust type agrees with its stored form.
fn stored(key: &Value) -> StoredKey {
    fn checked(key: impl Key) -> StoredKey {
        let stored = key.to_stored().unwrap();
        assert!(key.matches(&stored));
        assert_eq!(key.hash(), stored.hash());
        stored
    }
    let value = &key["value"];
    match key["type"].as_str().unwrap() {
        "str" => checked(value.as_str().unwrap()),
        "bytes" => checked(unhex(value.as_str().unwrap())),
        "bool" => checked(value.as_bool().unwrap()),
        "uuid" => checked(Uuid::parse_str(value.as_str().unwrap()).unwrap()),
        "int" => {
            let text = value.as_str().unwrap();
            match text.parse::<i64>() {
                Ok(number) => checked(number),
                Err(_) => checked(text.parse::<u64>().unwrap()),
            }
        }
        "tuple" => {
            let elements: Vec<StoredKey> = value.as_array().unwrap().iter().map(stored).collect();
            match elements.as_slice() {
                [a] => {
                    let mut buffer = CanonicalBuffer::default();
                    buffer.push_tuple(1);
                    buffer.push_element(|buffer| a.write_canonical(buffer));
                    StoredKey::from_canonical(buffer.as_bytes()).unwrap()
                }
                [a, b] => checked((a, b)),
                [a, b, c] => checked((a, b, c)),
                [a, b, c, d] => checked((a, b, c, d)),
                [a, b, c, d, e] => checked((a, b, c, d, e)),
                [a, b, c, d, e, f] => checked((a, b, c, d, e, f)),
                other => panic!("no vector has {} elements", other.len()),
            }
        }
        other => panic!("no key has the type {other}"),
    }
}

#[test]
fn vectors_hold() {
    let file: Value =
        serde_json::from_str(include_str!("../../testdata/key_vectors_v1.json")).unwrap();
    let groups =
        KeyGroupCount::new(u16::try_from(file["group_count"].as_u64().unwrap()).unwrap()).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() > 60);
    for vector in vectors {
        let key = stored(&vector["key"]);
        let found = (
            hex(key.as_bytes()),
            key.hash().to_string(),
            u64::from(groups.group_of(key.hash()).0),
        );
        let expected = (
            vector["canonical"].as_str().unwrap().to_owned(),
            vector["hash"].as_str().unwrap().to_owned(),
            vector["group"].as_u64().unwrap(),
        );
        assert_eq!(found, expected, "{}", vector["key"]);
        assert_eq!(StoredKey::from_canonical(&unhex(&expected.0)), Ok(key));
    }
}

/// All of `keys` must be one key: same bytes, same hash, each matching the others' stored form.
fn assert_one_key(keys: &[&dyn objects::AnyKey]) {
    for a in keys {
        for b in keys {
            let stored = b.to_stored().unwrap();
            assert_eq!(a.to_stored().unwrap(), stored);
            assert_eq!(a.hash(), b.hash());
            assert_eq!(a.hash(), stored.hash());
            assert!(a.matches(&stored) && stored.matches(&stored));
        }
    }
}

/// Any description of a key that `stored` understands.
fn any_key() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<String>().prop_map(|text| serde_json::json!({"type": "str", "value": text})),
        "[a-c]{0,2}".prop_map(|text| serde_json::json!({"type": "str", "value": text})),
        any::<Vec<u8>>()
            .prop_map(|bytes| serde_json::json!({"type": "bytes", "value": hex(&bytes)})),
        any::<i64>()
            .prop_map(|number| serde_json::json!({"type": "int", "value": number.to_string()})),
        (0..4_i64)
            .prop_map(|number| serde_json::json!({"type": "int", "value": number.to_string()})),
        any::<u64>()
            .prop_map(|number| serde_json::json!({"type": "int", "value": number.to_string()})),
        any::<bool>().prop_map(|value| serde_json::json!({"type": "bool", "value": value})),
        any::<u128>().prop_map(
            |value| serde_json::json!({"type": "uuid", "value": Uuid::from_u128(value).to_string()})
        ),
    ];
    leaf.prop_recursive(2, 12, 6, |inner| {
        prop::collection::vec(inner, 2..=6)
            .prop_map(|elements| serde_json::json!({"type": "tuple", "value": elements}))
    })
}

proptest! {
    #[test]
    fn integers_of_all_widths_are_one_key(number in 0..128_u8) {
        let wide = u64::from(number);
        assert_one_key(&[
            &number, &u16::from(number), &u32::from(number), &wide, &usize::from(number),
            &i8::try_from(number).unwrap(), &i16::from(number), &i32::from(number), &i64::from(number),
            &isize::from(number), &&number, &StoredKey::from(i64::from(number)),
        ]);
    }

    #[test]
    fn large_and_negative_integers_are_one_key(number: u64, signed: i64) {
        assert_one_key(&[&number, &usize::try_from(number).unwrap()]);
        assert_one_key(&[&signed, &isize::try_from(signed).unwrap()]);
        if let Ok(small) = i32::try_from(signed >> 32) {
            assert_one_key(&[&small, &i64::from(small)]);
        }
    }

    #[test]
    fn strings_of_all_types_are_one_key(text: String) {
        let boxed: Box<str> = text.as_str().into();
        let (arc, rc): (Arc<str>, Rc<str>) = (text.as_str().into(), text.as_str().into());
        assert_one_key(&[&text.as_str(), &text, &boxed, &arc, &rc, &Cow::Borrowed(text.as_str()), &&&text]);
        prop_assert_eq!(Key::hash(text.as_str()), text.hash());
        prop_assert!(Key::matches(text.as_str(), &text.to_stored().unwrap()));
    }

    #[test]
    fn bytes_of_all_types_are_one_key(bytes: Vec<u8>) {
        assert_one_key(&[&bytes, &bytes.as_slice()]);
    }

    #[test]
    fn tuples_of_all_types_are_one_key(text: String, number: u32, flag: bool) {
        let narrow = (text.as_str(), number, (flag, vec![1_u8]));
        let wide = (text.clone(), u64::from(number), (flag, [1_u8].as_slice().to_vec()));
        let stored = (text.to_stored().unwrap(), i64::from(number), (flag, vec![1_u8]).to_stored().unwrap());
        assert_one_key(&[&narrow, &wide, &stored]);
    }

    #[test]
    fn canonical_bytes_hash_match_and_view_agree(a in any_key(), b in any_key()) {
        let (a, b) = (stored(&a), stored(&b));
        prop_assert_eq!(a == b, a.view() == b.view());
        prop_assert_eq!(a == b, a.matches(&b));
        prop_assert!(a != b || a.hash() == b.hash());
        prop_assert_eq!(StoredKey::from_canonical(a.as_bytes()), Ok(a.clone()));
        prop_assert!(a.to_string().chars().count() <= 120);
    }

    #[test]
    fn tuples_match_exactly_their_own_bytes(a in any_key(), b in any_key(), c in any_key(), d in any_key()) {
        let (left, right) = ((stored(&a), stored(&b)), (stored(&c), stored(&d)));
        prop_assert_eq!(left.matches(&right.to_stored().unwrap()), left == right);
        prop_assert!(!left.matches(&left.0));
        prop_assert!(!left.0.matches(&left.to_stored().unwrap()));
    }

    #[test]
    fn bytes_from_outside_are_accepted_only_if_a_key_writes_them(tag in 0..9_u8, rest: Vec<u8>, key in any_key(), cut: u16) {
        let mut bytes = vec![tag];
        bytes.extend(rest);
        let whole = stored(&key);
        let start = usize::from(cut) % whole.as_bytes().len();
        for candidate in [&bytes, &whole.as_bytes()[..start].to_vec(), &whole.as_bytes()[start..].to_vec()] {
            if let Ok(accepted) = StoredKey::from_canonical(candidate) {
                prop_assert_eq!(accepted.as_bytes(), candidate.as_slice());
                prop_assert!(!accepted.to_string().is_empty());
            }
        }
    }
}

#[test]
fn different_kinds_are_different_keys() {
    let keys: [&dyn objects::AnyKey; 9] = [
        &1,
        &"1",
        &vec![b'1'],
        &true,
        &Uuid::from_u128(1),
        &(1, 1),
        &("ab", "c"),
        &("a", "bc"),
        &u64::MAX,
    ];
    let stored: BTreeSet<StoredKey> = keys.iter().map(|key| key.to_stored().unwrap()).collect();
    let hashes: BTreeSet<KeyHash> = keys.iter().map(|key| key.hash()).collect();
    assert_eq!((stored.len(), hashes.len()), (keys.len(), keys.len()));
    for key in keys {
        assert_eq!(
            stored.iter().filter(|stored| key.matches(stored)).count(),
            1
        );
    }
}

#[test]
fn the_kind_of_a_key_is_that_of_its_canonical_bytes() {
    let text = [
        str::kind(),
        String::kind(),
        <&str>::kind(),
        <&&String>::kind(),
        Arc::<str>::kind(),
        Rc::<str>::kind(),
        Box::<str>::kind(),
        Cow::<str>::kind(),
    ];
    assert!(text.iter().all(|kind| kind == "text"), "{text:?}");
    let integers = [
        u8::kind(),
        u64::kind(),
        i64::kind(),
        usize::kind(),
        isize::kind(),
        <&i32>::kind(),
    ];
    assert!(
        integers.iter().all(|kind| kind == "integer"),
        "{integers:?}"
    );
    let others = [
        <[u8]>::kind(),
        Vec::<u8>::kind(),
        bool::kind(),
        Uuid::kind(),
        StoredKey::kind(),
        <(&str, (u8, bool), Vec<u8>)>::kind(),
    ];
    let expected = [
        "bytes",
        "bytes",
        "boolean",
        "uuid",
        "any",
        "(text, (integer, boolean), bytes)",
    ];
    assert_eq!(others, expected);
}

#[test]
fn malformed_bytes_are_refused() {
    let cases: [(&[u8], &str); 15] = [
        (&[], "a tag, found no bytes"),
        (&[0], "a tag from 1 to 7"),
        (&[8, 1], "a tag from 1 to 7"),
        (&[1, 0xff], "a string in UTF-8"),
        (&[3, 1], "an integer of 8 bytes"),
        (&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0], "an integer of 8 bytes"),
        (&[4, 1], "an integer of 8 bytes above 2^63 - 1"),
        (
            &[4, 0, 0, 0, 0, 0, 0, 0, 1],
            "an integer of 8 bytes above 2^63 - 1",
        ),
        (&[5], "a boolean of one byte, 0 or 1"),
        (&[5, 2], "a boolean of one byte, 0 or 1"),
        (&[6, 1, 2], "a UUID of 16 bytes"),
        (&[7], "a tuple of at least one element"),
        (&[7, 0], "a tuple of at least one element"),
        (
            &[7, 2, 1, 0, 0, 0, 1],
            "as many whole elements as the tuple's count",
        ),
        (
            &[7, 1, 1, 0, 0, 0, 1, 9],
            "nothing after a tuple's last element",
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(
            StoredKey::from_canonical(bytes),
            Err(KeyError::Malformed { expected }),
            "{bytes:?}"
        );
    }
}

#[test]
fn keys_above_64_kib_are_refused() {
    let longest = "x".repeat(MAX_KEY_BYTES - 1);
    assert_eq!(longest.to_stored().unwrap().as_bytes().len(), MAX_KEY_BYTES);
    let too_long = "x".repeat(MAX_KEY_BYTES);
    let error = too_long.to_stored().unwrap_err();
    assert_eq!(
        error,
        KeyError::TooLong {
            len: MAX_KEY_BYTES + 1
        }
    );
    assert_eq!(
        error.to_string(),
        "key takes 65537 bytes; keys must be at most 65536 bytes long"
    );
    assert!((longest.as_str(), 1).to_stored().is_err());
}

#[test]
fn tuples_nest_to_the_documented_depth() {
    let mut key = 1.to_stored().unwrap();
    for _ in 0..MAX_TUPLE_DEPTH {
        key = (key, 1).to_stored().unwrap();
    }
    assert_eq!((key, 1).to_stored(), Err(KeyError::TooDeep));
}

#[test]
fn text_shows_the_type_and_is_bounded() {
    let uuid = Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);
    let cases: [(&dyn objects::AnyKey, &str); 9] = [
        (&"AAPL", "\"AAPL\""),
        (&"a\"b\n", r#""a\"b\n""#),
        (&-7, "-7"),
        (&u64::MAX, "18446744073709551615"),
        (&true, "true"),
        (&vec![0xde_u8, 0xad], "0xdead"),
        (&uuid, "67e55044-10b1-426f-9247-bb680e5fe0c8"),
        (&("eu", 1), "(\"eu\", 1)"),
        (&(("a", 1), vec![0_u8]), "((\"a\", 1), 0x00)"),
    ];
    for (key, expected) in cases {
        assert_eq!(key.to_stored().unwrap().to_string(), expected);
    }
    let exact = "x".repeat(118);
    assert_eq!(
        exact.to_stored().unwrap().to_string(),
        format!("\"{exact}\"")
    );
    let long = "é".repeat(119);
    assert_eq!(
        long.to_stored().unwrap().to_string(),
        format!("\"{}…", "é".repeat(118))
    );
    assert_eq!(KeyHash(0xab).to_string(), "00000000000000ab");
}

#[test]
fn views_give_the_value() {
    let key = ("eu", -1, (u64::MAX, true, vec![7_u8]))
        .to_stored()
        .unwrap();
    let elements: Vec<KeyView<'_>> = key.view().as_tuple().unwrap().into_iter().collect();
    assert_eq!(
        (
            elements[0].as_str(),
            elements[1].as_i64(),
            elements[1].as_u64()
        ),
        (Some("eu"), Some(-1), None)
    );
    let inner: Vec<KeyView<'_>> = elements[2].as_tuple().unwrap().iter().collect();
    assert_eq!(inner[0].as_u64(), Some(u64::MAX));
    assert_eq!(inner[1].as_bool(), Some(true));
    assert_eq!(inner[2].as_bytes(), Some([7].as_slice()));
}

#[test]
fn group_counts_are_1_to_32768() {
    assert_eq!(KeyGroupCount::new(0), None);
    assert_eq!(KeyGroupCount::new(32_769), None);
    assert_eq!(KeyGroupCount::new(32_768), Some(KeyGroupCount::MAX));
    assert_eq!(KeyGroupCount::default().get(), 1024);
    for count in [1, 3, 1000, 32_768] {
        let groups = KeyGroupCount::new(count).unwrap();
        assert_eq!(groups.group_of(KeyHash(0)), KeyGroup(0));
        assert_eq!(groups.group_of(KeyHash(u64::MAX)), KeyGroup(count - 1));
        assert_eq!(groups.groups().len(), usize::from(count));
    }
}

/// Checks that the hashes spread over 1,024 groups like random numbers, and that their low halves rarely collide.
fn check_spread(hashes: &[KeyHash]) {
    let groups = KeyGroupCount::default();
    let mut counts = vec![0_u32; usize::from(groups.get())];
    for hash in hashes {
        counts[groups.group_of(*hash).index()] += 1;
    }
    let total = hashes.len() as f64;
    let expected = total / 1024.0;
    let chi_square: f64 = counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    // 1,023 degrees of freedom: mean 1,023, standard deviation 45; six of them either side.
    assert!(
        (750.0..1300.0).contains(&chi_square),
        "chi-square {chi_square}"
    );

    let low: BTreeSet<u32> = hashes.iter().map(|hash| hash.low()).collect();
    let collisions = (hashes.len() - low.len()) as f64;
    let birthday = total * total / 2.0 / f64::from(u32::MAX);
    assert!(
        collisions <= birthday * 1.5 + 10.0,
        "{collisions} collisions, {birthday} expected"
    );
}

#[test]
fn sequential_integers_spread_evenly() {
    check_spread(
        &(0..1_000_000_i64)
            .map(|number| number.hash())
            .collect::<Vec<_>>(),
    );
}

#[test]
fn numbered_strings_spread_evenly() {
    check_spread(
        &(0..100_000)
            .map(|number| format!("key-{number}").hash())
            .collect::<Vec<_>>(),
    );
}

#[test]
fn tuples_spread_evenly() {
    check_spread(
        &(0..100_000)
            .map(|number| ("key", number).hash())
            .collect::<Vec<_>>(),
    );
}
