//! Every difference with its text, and what the options allow.

use super::*;
use crate::commit::SinkIdentity;

fn state(name: &str, key_type: &str) -> StateIdentity {
    StateIdentity {
        name: name.to_owned(),
        stored_as: None,
        object_type: "Stock".to_owned(),
        key_type: Some(key_type.to_owned()),
        key_groups: 8,
    }
}

fn plan(states: &[(&str, &str)], sources: &[&str], sinks: &[(&str, bool)]) -> PlanIdentity {
    PlanIdentity {
        sources: sources.iter().map(|&name| name.to_owned()).collect(),
        states: states.iter().map(|(name, key)| state(name, key)).collect(),
        sinks: sinks
            .iter()
            .map(|&(name, exactly_once)| SinkIdentity {
                name: name.to_owned(),
                exactly_once,
            })
            .collect(),
    }
}

fn check(was: &PlanIdentity, is: &PlanIdentity, allowed: &Allowed, expected: &[(bool, &str)]) {
    let found: Vec<(bool, String)> = compare(was, is, allowed)
        .into_iter()
        .map(|difference| (difference.refuses(), difference.to_string()))
        .collect();
    let expected: Vec<(bool, String)> = expected
        .iter()
        .map(|&(refuses, text)| (refuses, text.to_owned()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_same_application_fits() {
    let same = plan(&[("stocks", "String")], &["ticks"], &[("highs", true)]);
    check(&same, &same, &Allowed::default(), &[]);
}

#[test]
fn what_is_gone_or_has_changed_refuses_and_names_the_option() {
    let was = plan(
        &[("stocks", "String"), ("users", "u64")],
        &["ticks"],
        &[("highs", true), ("lows", false)],
    );
    let is = plan(
        &[("users", "String"), ("orders", "u64")],
        &["trades"],
        &[("highs", false)],
    );
    check(
        &was,
        &is,
        &Allowed::default(),
        &[
            (
                true,
                "state \"stocks\" is not in the application; put it back, or allow it with --drop-state stocks or --rename-state stocks=NEW",
            ),
            (
                true,
                "state \"users\" had keys of type u64, and the application has String, so that no object would be found again; put it back, or allow it with --drop-state users",
            ),
            (false, "state \"orders\" is new and begins empty"),
            (
                true,
                "source \"ticks\" is not in the application; put it back, or allow it with --drop-source ticks",
            ),
            (
                false,
                "source \"trades\" is new and is read from its beginning",
            ),
            (
                true,
                "sink \"highs\" published exactly once, and does not any more; put it back, or allow it with --drop-sink highs",
            ),
            (
                true,
                "sink \"lows\" is not in the application; put it back, or allow it with --drop-sink lows",
            ),
        ],
    );
}

/// A key function of Python without a type hint: a program that was given one, or lost it, was refused.
#[test]
fn keys_whose_kind_is_not_known_fit_all() {
    let known = plan(&[("stocks", "text")], &["ticks"], &[]);
    let unknown = plan(&[("stocks", "any")], &["ticks"], &[]);
    check(&known, &unknown, &Allowed::default(), &[]);
    check(&unknown, &known, &Allowed::default(), &[]);
}

#[test]
fn what_the_user_names_is_allowed() {
    let was = plan(
        &[("stocks", "String"), ("users", "u64")],
        &["ticks"],
        &[("lows", true)],
    );
    let is = plan(&[("shares", "String"), ("users", "String")], &[], &[]);
    let names = |name: &str| BTreeSet::from([name.to_owned()]);
    let allowed = Allowed {
        dropped_states: names("users"),
        renamed_states: BTreeMap::from([("stocks".to_owned(), "shares".to_owned())]),
        dropped_sources: names("ticks"),
        dropped_sinks: names("lows"),
    };
    check(
        &was,
        &is,
        &allowed,
        &[
            (false, "state \"stocks\" goes on as \"shares\""),
            (false, "state \"users\" is given up"),
            (false, "state \"users\" is new and begins empty"),
            (false, "the positions of source \"ticks\" are given up"),
            (false, "what is kept of sink \"lows\" is given up"),
        ],
    );
}

#[test]
fn two_states_cannot_become_one() {
    let was = plan(&[("a", "u64"), ("b", "u64")], &[], &[]);
    let is = plan(&[("b", "u64")], &[], &[]);
    let allowed = Allowed {
        renamed_states: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        ..Allowed::default()
    };
    let found = compare(&was, &is, &allowed);
    assert!(found.iter().any(Difference::refuses), "{found:?}");
}

#[test]
fn an_option_for_a_name_that_is_not_there_refuses() {
    let same = plan(&[("stocks", "String")], &[], &[]);
    let allowed = Allowed {
        dropped_states: BTreeSet::from(["stoks".to_owned()]),
        ..Allowed::default()
    };
    check(
        &same,
        &same,
        &allowed,
        &[(
            true,
            "--drop-state stoks: the checkpoint has no state of that name; it has \"stocks\"",
        )],
    );
}
