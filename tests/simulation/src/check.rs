//! Compares what a run has shown with the model.
//!
//! What the model knows for certain is which messages come to which stage, and in which order within a group:
//! one source partition, one way, one key in every scope. How groups interleave is up to the run; what the state
//! objects then must have seen is found by replaying the calls in the order in which they happened.
//!
//! **Invariants.** Everything observed is compared: nothing may be left over, on either side.

use std::collections::BTreeMap;

use crate::build::{node_name, state_name};
use crate::case::{Case, Mode};
use crate::input::{Item, partition_name};
use crate::model::{Expected, expected, fails, forgets, grouped, key_of};
use crate::observe::{Call, History, Objects};
use crate::run::{Observed, run};
use crate::topology::{KeyKind, Makes, Node};
use crate::ways::Ways;

/// Runs a case and compares it with the model.
///
/// # Panics
/// When they differ; the text has the seed.
pub fn check(case: &Case, mode: Mode) {
    let fail = |what: &str| -> ! {
        panic!(
            "{what}\nseed {} ({mode:?}); repeat it with WALLAROO_SEED={}\nworkers {}, epochs {:?}, limit {}, key groups {}\n{:#?}",
            case.seed,
            case.seed,
            case.workers,
            case.epoch_every,
            case.limit_bytes,
            case.key_groups,
            case.topology
        )
    };
    let outcome = std::panic::catch_unwind(|| run(case, mode));
    let observed = match outcome {
        Ok(Ok(observed)) => observed,
        Ok(Err(failure)) => fail(&failure),
        Err(_) => fail("the run panicked or hung"),
    };
    if let Err(difference) = compare(case, &observed) {
        fail(&difference);
    }
}

/// What differs between a run and the model, if anything does.
///
/// # Errors
/// The first difference, in words.
pub fn compare(case: &Case, observed: &Observed) -> Result<(), String> {
    let expected = expected(case);
    sinks(case, observed, &expected)?;
    dead_letters(case, observed, &expected)?;
    calls(case, observed, &expected)?;
    meetings(case, observed)?;
    let objects = replay(case, &observed.calls)?;
    counts(case, observed)?;
    epochs(case, observed, &objects)
}

pub(crate) fn same_groups(
    case: &Case,
    node: usize,
    what: &str,
    got: &[Item],
    expected: Option<&Vec<Item>>,
) -> Result<(), String> {
    let (mut got, mut expected) = (grouped(got), grouped(expected.into_iter().flatten()));
    if case.topology.is_loose(node) {
        got.values_mut()
            .chain(expected.values_mut())
            .for_each(|items| items.sort_unstable());
    }
    if got == expected {
        return Ok(());
    }
    let groups = got.keys().chain(expected.keys());
    let differs = groups
        .into_iter()
        .find(|group| got.get(*group) != expected.get(*group));
    let show = |items: Option<&Vec<Item>>| {
        let shown = items
            .into_iter()
            .flatten()
            .map(|item| (item.number, item.copies.clone()));
        shown.collect::<Vec<_>>()
    };
    let group = differs.expect("they differ somewhere");
    Err(format!(
        "{what} of node {node}: group {group:?}\n  has      {:?}\n  expected {:?}",
        show(got.get(group)),
        show(expected.get(group))
    ))
}

pub(crate) fn sinks(case: &Case, observed: &Observed, expected: &Expected) -> Result<(), String> {
    observed.sinks.iter().try_for_each(|(node, got)| {
        same_groups(case, *node, "output", got, expected.arrived.get(node))
    })
}

pub(crate) fn dead_letters(
    case: &Case,
    observed: &Observed,
    expected: &Expected,
) -> Result<(), String> {
    for (node, letters) in &observed.dead {
        let mut items = Vec::new();
        for letter in letters {
            let item: Item =
                serde_json::from_slice(&letter.message).map_err(|error| error.to_string())?;
            let kind = match &case.topology.nodes[*node] {
                Node::State { kind, .. } => Some(kind.unwrap_or(KeyKind::One)),
                _ => kind_before(case, *node),
            };
            // Dead letters have texts without the quotes that people see.
            let text = kind.map(|kind| kind.text(key_of(&item)));
            let key = text.map(|text| text.trim_matches('"').to_owned());
            let place = (
                letter.source.as_str(),
                letter.partition.as_str(),
                letter.position,
            );
            let origin = (node_name(item.source), partition_name(item.partition));
            if place != (origin.0.as_str(), origin.1.as_str(), item.number)
                || letter.stage != node_name(*node)
                || letter.key != key
                || !(letter.error.contains("expected") || letter.error.contains("cannot decode it"))
            {
                return Err(format!(
                    "dead letter of node {node}: {letter:?}, key {key:?}"
                ));
            }
            items.push(item);
        }
        same_groups(case, *node, "dead letters", &items, expected.dead.get(node))?;
    }
    Ok(())
}

/// The kind of the keys that the messages of a node have.
fn kind_before(case: &Case, node: usize) -> Option<KeyKind> {
    match &case.topology.nodes[node] {
        Node::KeyBy { kind, .. } => Some(*kind),
        Node::State { kind, .. } => Some(kind.unwrap_or(KeyKind::One)),
        other => other
            .inputs()
            .first()
            .and_then(|input| kind_before(case, *input)),
    }
}

pub(crate) fn calls(case: &Case, observed: &Observed, expected: &Expected) -> Result<(), String> {
    let mut by_node: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
    for call in &observed.calls {
        by_node
            .entry(call.node)
            .or_default()
            .push(call.item.clone());
    }
    for (node, kind) in case.topology.nodes.iter().enumerate() {
        if matches!(kind, Node::State { .. }) {
            let got = by_node.remove(&node).unwrap_or_default();
            same_groups(case, node, "calls", &got, expected.arrived.get(&node))?;
        }
    }
    Ok(())
}

/// Where parts of a stream meet again without an exchange in between, what is made of one record comes before
/// what is made of the next.
pub(crate) fn meetings(case: &Case, observed: &Observed) -> Result<(), String> {
    let ways = Ways::of(&case.topology);
    let mut places: BTreeMap<String, Vec<(usize, &Item)>> = BTreeMap::new();
    for (node, items) in &observed.sinks {
        let arrived = items.iter().map(|item| (*node, item)).collect();
        places.insert(format!("sink {}", node_name(*node)), arrived);
    }
    for call in &observed.calls {
        let place = places.entry(state_name(call.state)).or_default();
        place.push((call.node, &call.item));
    }
    for (place, arrived) in places {
        let mut nodes: Vec<usize> = arrived.iter().map(|(node, _)| *node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        if ways.are_ambiguous(&nodes) {
            continue;
        }
        let mut last = BTreeMap::new();
        for (node, item) in arrived {
            let crossings = ways.crossings(item, node);
            let group = (item.source, item.partition, &item.keys, crossings);
            let before = last.insert(group, (node, item));
            if let Some((other, before)) = before.filter(|(_, before)| before.number > item.number)
            {
                return Err(format!(
                    "{place}: at node {node} {item:?}\ncame after, at node {other}, {before:?}"
                ));
            }
        }
    }
    Ok(())
}

/// The objects by name of the state and key, as people read it.
pub(crate) type Replayed = BTreeMap<(String, String), History>;

pub(crate) fn apply(case: &Case, call: &Call, objects: &mut Replayed) {
    let Node::State {
        failing,
        forgets: may_forget,
        ..
    } = &case.topology.nodes[call.node]
    else {
        return;
    };
    let place = (state_name(call.state), call.key.clone());
    if fails(call.node, *failing, &call.item) {
        return;
    }
    objects.entry(place.clone()).or_default().add(&call.item);
    if *may_forget && forgets(call.node, &call.item) {
        objects.remove(&place);
    }
}

/// The objects after these calls, each of which must have found its object as the ones before had left it.
pub(crate) fn replay(case: &Case, calls: &[Call]) -> Result<Replayed, String> {
    let mut objects = Replayed::new();
    for (index, call) in calls.iter().enumerate() {
        let place = (state_name(call.state), call.key.clone());
        let before = objects.get(&place).copied().unwrap_or_default();
        if call.before != before {
            return Err(format!(
                "call {index} of state {}, key {}: the object was {:?}, expected {before:?}",
                call.state, call.key, call.before
            ));
        }
        apply(case, call, &mut objects);
    }
    Ok(objects)
}

/// Messages carry what their stages had counted.
pub(crate) fn counts(case: &Case, observed: &Observed) -> Result<(), String> {
    let mut counted: BTreeMap<(usize, Item), Vec<u64>> = BTreeMap::new();
    for call in &observed.calls {
        let place = (call.node, trace(&call.item, call.item.route.len(), case));
        counted
            .entry(place)
            .or_default()
            .push(call.before.count + 1);
    }
    for item in observed.sinks.values().flatten() {
        let mut counts = item.counts.iter();
        for (index, node) in item.route.iter().enumerate() {
            if !matches!(case.topology.nodes[*node], Node::State { .. }) {
                continue;
            }
            let known = counted.get(&(*node, trace(item, index, case)));
            let count = counts.next();
            if !count.is_some_and(|count| known.is_some_and(|known| known.contains(count))) {
                return Err(format!(
                    "{item:?} has the count {count:?} of node {node}, expected one of {known:?}"
                ));
            }
        }
    }
    Ok(())
}

/// What identifies the message that a message was when it had been through `nodes` nodes.
fn trace(item: &Item, nodes: usize, case: &Case) -> Item {
    let makes_two = |node: &&usize| {
        matches!(
            case.topology.nodes[**node],
            Node::Stage {
                makes: Makes::Two,
                ..
            } | Node::State {
                makes: Makes::Two,
                ..
            }
        )
    };
    let copies = item.route[..nodes].iter().filter(makes_two).count();
    Item {
        source: item.source,
        partition: item.partition,
        number: item.number,
        route: item.route[..nodes].to_vec(),
        copies: item.copies[..copies].to_vec(),
        ..Item::default()
    }
}

/// After every epoch the objects are what exactly the records before its positions make of them, and nothing that was
/// made of those records comes later.
fn epochs(case: &Case, observed: &Observed, at_the_end: &Replayed) -> Result<(), String> {
    let heard = &observed.heard;
    let mut objects = Objects::new();
    for (epoch, end) in heard.ends.iter().enumerate() {
        heard.apply(epoch, &mut objects);
        let partitions: usize = case.records.values().map(Vec::len).sum();
        if end.positions.len() != partitions {
            return Err(format!("epoch {epoch}: positions {:?}", end.positions));
        }
        let is_in = |item: &Item| {
            let name = (node_name(item.source), partition_name(item.partition));
            item.number < end.positions[&name]
        };
        let mut replayed = Replayed::new();
        let mut later: BTreeMap<(usize, &str), &Call> = BTreeMap::new();
        for (index, call) in observed.calls.iter().enumerate() {
            let place = (call.state, call.key.as_str());
            if !is_in(&call.item) {
                later.entry(place).or_insert(call);
            } else if let Some(too_early) = later.get(&place) {
                return Err(format!(
                    "epoch {epoch}: {place:?} took {:?} before {:?}",
                    too_early.item, call.item
                ));
            } else if index >= end.calls {
                return Err(format!("epoch {epoch} had ended before {call:?}"));
            } else {
                apply(case, call, &mut replayed);
            }
        }
        for (node, items) in &observed.sinks {
            if let Some(late) = items[end.sinks[node]..].iter().find(|item| is_in(item)) {
                return Err(format!(
                    "epoch {epoch} had ended before {late:?} came to {node}"
                ));
            }
        }
        same_objects(&format!("epoch {epoch}"), &objects, &replayed)?;
    }
    if heard.generations.last() != Some(&heard.ends.len()) {
        return Err("the last epoch has not ended with the last generation".to_owned());
    }
    same_objects("the end", &objects, at_the_end)
}

pub(crate) fn same_objects(
    when: &str,
    objects: &Objects,
    expected: &Replayed,
) -> Result<(), String> {
    let objects: Replayed = objects
        .iter()
        .map(|((state, key), object)| ((state.clone(), key.to_string()), *object))
        .collect();
    same_replayed(when, &objects, expected)
}

pub(crate) fn same_replayed(
    when: &str,
    objects: &Replayed,
    expected: &Replayed,
) -> Result<(), String> {
    if objects == expected {
        return Ok(());
    }
    let places = objects.keys().chain(expected.keys());
    let place = places
        .into_iter()
        .find(|place| objects.get(*place) != expected.get(*place))
        .expect("they differ somewhere");
    Err(format!(
        "{when}: {place:?} is {:?}, expected {:?}",
        objects.get(place),
        expected.get(place)
    ))
}
