//! Visits worlds: all that can be reached, or a long way at random.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3Default;

use super::world::{Event, World};

/// A world that breaks an invariant, and the way to it.
pub(crate) struct Found {
    pub(crate) what: String,
    way: Vec<Event>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        self.way
            .iter()
            .try_for_each(|step| writeln!(f, "  {step:?}"))
    }
}

/// Visits every world that can be reached from this one, breadth first, so that the way to a violation is a shortest one.
///
/// Returns the number of worlds. Worlds are told apart by a hash of 128 bits.
pub(crate) fn explore(start: &World) -> Result<usize, Found> {
    let mut seen = HashSet::from([digest(start)]);
    // the way to each world: the index of the world before it, and the number of its step
    let mut ways: Vec<(usize, usize)> = vec![(0, 0)];
    let mut waiting = VecDeque::from([(0, start.clone())]);
    while let Some((index, world)) = waiting.pop_front() {
        for (number, (_, next)) in world.next().into_iter().enumerate() {
            if !seen.insert(digest(&next)) {
                continue;
            }
            ways.push((index, number));
            if let Err(what) = next.check() {
                let way = replay(start, &ways);
                return Err(Found { what, way });
            }
            waiting.push_back((ways.len() - 1, next));
        }
    }
    Ok(seen.len())
}

/// Goes up to `steps` steps from this world, each chosen at random.
pub(crate) fn walk(start: &World, seed: u64, steps: usize) -> Result<(), Found> {
    let mut random = seed | 1;
    let mut world = start.clone();
    let mut way = Vec::new();
    for _ in 0..steps {
        let mut next = world.next();
        if next.is_empty() {
            break;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let chosen = usize::try_from(random >> 16).expect("64 bits") % next.len();
        let (step, chosen) = next.swap_remove(chosen);
        way.push(step);
        world = chosen;
        if let Err(what) = world.check() {
            return Err(Found { what, way });
        }
    }
    Ok(())
}

/// Tells values apart.
pub(crate) fn digest<T: Hash>(value: &T) -> u128 {
    let mut hasher = Digest(Xxh3Default::new());
    value.hash(&mut hasher);
    hasher.0.digest128()
}

struct Digest(Xxh3Default);

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0.digest()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

fn replay(start: &World, ways: &[(usize, usize)]) -> Vec<Event> {
    let mut steps = Vec::new();
    let mut at = ways.len() - 1;
    while at != 0 {
        steps.push(ways[at].1);
        at = ways[at].0;
    }
    let mut world = start.clone();
    let mut way = Vec::new();
    for number in steps.into_iter().rev() {
        let (step, next) = world.next().swap_remove(number);
        way.push(step);
        world = next;
    }
    way
}
