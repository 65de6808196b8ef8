//! Random applications with a store, whose processes die: state and published output are there exactly once.

use std::path::Path;
use std::sync::Arc;

use wallaroo::testing::durable::INPUT;
use wallaroo::testing::seeds;
use wallaroo_engine::Random;
use wallaroo_simulation::Case;
use wallaroo_simulation::case::Extras;
use wallaroo_simulation::durable::log_disk::LogDisk;
use wallaroo_simulation::durable::process::{Fate, Moment, Process};
use wallaroo_simulation::durable::{Life, Moments};
use wallaroo_simulation::input::Item;
use wallaroo_simulation::topology::{Failing, KeyKind, Makes, Node, Topology};
use wallaroo_store::StoreError;
use wallaroo_store::input_log::{Disk, Entry, InputLog, Kind, Replay, Sync};

/// So many lives in the normal tests.
const LIVES: u64 = 700;

/// A small case.
fn small(mut case: Case) -> Case {
    for records in case.records.values_mut().flatten() {
        records.truncate(25);
    }
    case
}

fn random_case(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let extras = Extras {
        rescales: random.one_in(4),
        epochs: random.one_in(3),
    };
    let topology = Topology::random(&mut random);
    let case = small(Case::of(seed, topology, extras, &mut random));
    // In a third of the lives sources cannot replay.
    let has_logs = random.one_in(3);
    case.with_logs(|| has_logs && !random.one_in(4))
}

fn live(case: Case, fates: Vec<Fate>) -> Moments {
    let seed = case.seed;
    let topology = case.topology.clone();
    let life = std::panic::catch_unwind(|| Life::new(case).with_fates(fates).live());
    life.unwrap_or_else(|_| panic!("in a life with WALLAROO_SEED={seed}\n{topology:?}"))
}

#[test]
fn everything_has_its_effect_once_whenever_processes_die() {
    let mut met = Moments::new();
    let mut lives = 0;
    for seed in seeds(LIVES) {
        lives += 1;
        for (moment, times) in live(random_case(seed), Vec::new()) {
            *met.entry(moment).or_default() += times;
        }
    }
    println!("{lives} lives: {met:?}");
    if lives < LIVES {
        return;
    }
    for moment in Moment::ALL {
        let times = met.get(&moment).copied().unwrap_or(0);
        assert!(
            times >= 50,
            "{moment:?} was met {times} times in {lives} lives: {met:?}"
        );
    }
}

/// Files of a log follow each other, and what was written last is on the disk before what was written first: then the loss of power
/// would leave a hole. In the middle the process dies, and another one goes on.
#[test]
fn an_input_log_has_no_holes_when_the_power_fails() {
    for seed in seeds(2000) {
        let process = Process::new(0, None, Random::new(seed), false, None, Arc::default());
        let disk = LogDisk::new(Arc::new(process));
        let seen: Arc<dyn Disk> = Arc::new(disk.clone());
        let directory = Path::new(INPUT).join("n0").join("p0");
        let mut log = InputLog::open(&seen, &directory, 1).expect("the process lives");
        let mut generation = 1;
        let mut random = Random::new(seed);
        let mut open = None;
        for number in 1..=30 {
            let item = Item::record(0, 0, number, seed);
            log.block()
                .push(number, Kind::Message, |bytes| {
                    rmp_serde::encode::write_named(bytes, &item)
                })
                .expect("items can be written");
            // One that fails is tried again with the next.
            let appended = log.append();
            if appended.is_ok() && number > 15 && generation == 1 {
                generation = 2;
                let mut replay = Replay::open(&seen, &directory, 1).expect("it is there");
                let nothing = |_: Entry<'_>| Ok::<(), StoreError>(());
                while replay.next(nothing).expect("it is not damaged") {}
                log = InputLog::open(&seen, &directory, generation).expect("it is there");
                log.go_on_after(&replay);
                open = None;
                continue;
            }
            open = appended.ok().flatten().or(open);
            if let Some(sync) = open.as_ref().filter(|_| random.one_in(10)) {
                Sync::sync(sync).expect("the process lives");
            }
        }
        disk.power_loss(&mut random);
        let logged = disk.logged("n0", "p0").expect("it is not damaged");
        let count = logged.len() as u64;
        assert!(
            logged.into_values().eq(1..=count),
            "a hole; repeat it with WALLAROO_SEED={seed}"
        );
    }
}

/// A rival keeps snapshots by epoch alone. There a process died while the snapshot of a later stage was written; the next read
/// less in that epoch, closed it, and died; and the one after that found the row of a key that only the first had touched, for
/// a message that was then read again: it counted twice.
#[test]
fn stale_snapshot_of_a_dead_attempt() {
    for seed in seeds(40) {
        let mut random = Random::new(seed);
        let shape = [(true, true), (true, true)];
        let topology = Topology::sequence(&shape, &mut random);
        let case = small(Case::of(seed, topology, Extras::default(), &mut random));
        let first = [
            Moment::Reporting,
            Moment::WritingSegment,
            Moment::WroteSegment,
            Moment::WritingOutbox,
        ];
        let fate = |moment, after| Fate {
            moment,
            after,
            sleeps: false,
        };
        let fates = vec![
            fate(first[random.below(first.len())], random.below(3)),
            fate(Moment::Reading, 2 + random.below(6)),
            fate(Moment::WroteSegment, random.below(2)),
        ];
        live(case, fates);
    }
}

/// All sequences of up to three stages, each with or without state and with or without its own key.
#[test]
fn all_84_sequences_survive_deaths() {
    let kinds = [(false, false), (false, true), (true, false), (true, true)];
    let mut shapes: Vec<Vec<(bool, bool)>> = vec![Vec::new()];
    for length in 0..3 {
        let longest: Vec<_> = shapes
            .iter()
            .filter(|shape| shape.len() == length)
            .cloned()
            .collect();
        for shape in longest {
            shapes.extend(kinds.map(|kind| [shape.clone(), vec![kind]].concat()));
        }
    }
    shapes.remove(0);
    assert_eq!(shapes.len(), 84);
    for (seed, shape) in (1..).zip(shapes) {
        let mut random = Random::new(seed);
        let topology = Topology::sequence(&shape, &mut random);
        live(
            small(Case::of(seed, topology, Extras::default(), &mut random)),
            Vec::new(),
        );
    }
}

/// The key groups of messages that a stage had made between `key_by` and the state were looked for under the keys of other
/// messages. What was not loaded then began anew: after a recovery an object had forgotten everything.
#[test]
fn objects_are_loaded_whose_messages_a_stage_has_made() {
    for seed in seeds(20) {
        let mut random = Random::new(seed);
        let state = |input, state, makes| Node::State {
            input,
            state,
            makes,
            failing: Failing::Never,
            forgets: false,
            kind: Some(KeyKind::Integer),
        };
        let sink = |input| Node::Sink {
            input,
            encoded: true,
            slow: false,
        };
        let nodes = vec![
            Node::Source {
                partitions: 1,
                failing: Failing::Never,
            },
            Node::KeyBy {
                input: 0,
                kind: KeyKind::Integer,
                keys: 12,
                failing: false,
            },
            state(1, 0, Makes::Two),
            Node::Stage {
                input: 1,
                makes: Makes::One,
                failing: Failing::Never,
            },
            state(2, 1, Makes::One),
            sink(3),
            sink(4),
        ];
        let case = small(Case::of(
            seed,
            Topology { nodes },
            Extras::default(),
            &mut random,
        ));
        live(case, Vec::new());
    }
}
