//! Checks an output file against what went in.
//!
//! **Invariants.** It knows the input and the file, and counts by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::application::GROUPS;
use crate::input::{PARTITIONS, message};

/// Checks that the file has every message once, and that every count was counted once.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(path: &Path, count: u64) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path:?}: {error}"))?;
    let mut lines = text.lines();
    if lines.next() != Some("partition,number,key,count,of_group") {
        return Err(format!("{path:?} does not begin with its header"));
    }
    let mut seen = BTreeSet::new();
    let mut of_keys: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut of_groups: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    // Of each key and partition: the last number and count.
    let mut last: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
    for (index, line) in lines.enumerate() {
        let wrong = |what: &str| format!("{path:?} line {}: {line}: {what}", index + 2);
        let fields: Result<Vec<u64>, _> = line.split(',').map(str::parse).collect();
        let Ok([partition, number, key, count, of_group]) = fields.as_deref() else {
            return Err(wrong("not a row"));
        };
        if message(*partition, *number).key != *key {
            return Err(wrong("another key than went in"));
        }
        if !seen.insert((*partition, *number)) {
            return Err(wrong("the message is there twice"));
        }
        if !of_keys.entry(*key).or_default().insert(*count) {
            return Err(wrong("two messages of the key were given this count"));
        }
        if !of_groups.entry(key % GROUPS).or_default().insert(*of_group) {
            return Err(wrong("two messages of the group were given this count"));
        }
        if let Some((before, counted)) = last.insert((*key, *partition), (*number, *count))
            && (before >= *number || counted >= *count)
        {
            return Err(wrong(
                "messages of one partition and key changed their order",
            ));
        }
    }
    for partition in 0..PARTITIONS {
        if let Some(missing) = (0..count).find(|number| !seen.contains(&(partition, *number))) {
            return Err(format!(
                "{path:?}: message {missing} of partition {partition} is missing"
            ));
        }
    }
    for (what, counts) in [("key", &of_keys), ("group", &of_groups)] {
        for (key, counts) in counts {
            let expected = counts.len() as u64;
            if counts.last() != Some(&expected) {
                return Err(format!(
                    "{path:?}: the {what} {key} has {expected} messages, and was counted to {:?}",
                    counts.last()
                ));
            }
        }
    }
    Ok(())
}
