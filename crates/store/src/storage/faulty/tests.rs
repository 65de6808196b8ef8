//! The faults themselves.

use super::*;
use crate::Memory;

fn faulty(faults: Faults) -> (Memory, Faulty) {
    let memory = Memory::new();
    (memory.clone(), Faulty::new(Arc::new(memory), faults))
}

#[test]
fn the_same_seed_meets_the_same_faults() {
    let run = |seed| {
        let faults = Faults {
            seed,
            before_per_mille: 200,
            after_per_mille: 200,
            ..Faults::default()
        };
        let (memory, faulty) = faulty(faults);
        let results: Vec<bool> = (0..100)
            .map(|number| faulty.create(&format!("log/{number}"), b"x").is_ok())
            .collect();
        faulty.power_loss();
        (results, memory.objects())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn what_was_made_or_seen_survives_the_loss_of_power() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..50 {
        let (memory, faulty) = faulty(Faults {
            seed,
            ..Faults::default()
        });
        faulty.create("a", b"1").expect("is made");
        faulty.set_faults(Faults {
            after_per_mille: 1000,
            ..Faults::default()
        });
        faulty.create("b", b"1").expect_err("is unclear");
        faulty.create("c", b"1").expect_err("is unclear");
        faulty.replace("a", b"2").expect_err("is unclear");
        faulty.set_faults(Faults::default());
        assert_eq!(faulty.read("c").expect("answers"), Some(b"1".to_vec()));
        faulty.power_loss();
        let objects = memory.objects();
        assert!(objects.contains_key("a") && objects.contains_key("c"));
        if objects.contains_key("b") {
            kept += 1;
        } else {
            lost += 1;
        }
    }
    assert!(lost > 0 && kept > 0, "{lost} {kept}");
}

#[test]
fn a_deletion_may_be_undone_by_the_loss_of_power() {
    let (mut gone, mut back) = (0, 0);
    for seed in 0..50 {
        let (memory, faulty) = faulty(Faults {
            seed,
            ..Faults::default()
        });
        faulty.create("a", b"1").expect("is made");
        faulty.delete("a").expect("is deleted");
        faulty.power_loss();
        match memory.objects().contains_key("a") {
            true => back += 1,
            false => gone += 1,
        }
    }
    assert!(gone > 0 && back > 0, "{gone} {back}");
}

#[test]
fn a_full_disk_takes_nothing_more_and_is_read_as_before() {
    let (_, faulty) = faulty(Faults {
        space_bytes: Some(10),
        ..Faults::default()
    });
    assert_eq!(faulty.create("a", &[0; 8]).expect("fits"), Created::New);
    let error = faulty.create("b", &[0; 8]).expect_err("is full");
    assert_eq!(error.kind, ErrorKind::Full);
    let mut upload = faulty.upload("c").expect("is begun");
    assert_eq!(
        upload.write(&[0; 8]).map_err(|error| error.kind),
        Err(ErrorKind::Full)
    );
    drop(upload);
    assert_eq!(faulty.read("a").expect("answers"), Some(vec![0; 8]));
    assert_eq!(faulty.read("c").expect("answers"), None);
}

#[test]
fn a_dead_process_does_nothing_more() {
    let (memory, faulty) = faulty(Faults {
        dies_at_call: Some(1),
        ..Faults::default()
    });
    faulty.create("a", b"1").expect("is made");
    faulty.delete("a").expect_err("has died");
    faulty.create("b", b"1").expect_err("has died");
    assert!(!memory.objects().contains_key("b"));
    faulty.power_loss();
    faulty.create("b", b"1").expect("is a new process");
}

#[test]
fn a_slow_change_is_not_answered_before_its_time() {
    let (mut at_once, mut late, mut when_asked) = (0, 0, 0);
    for seed in 0..60 {
        let (memory, faulty) = faulty(Faults {
            seed,
            slow_per_mille: 1000,
            latency: Duration::from_millis(10),
            ..Faults::default()
        });
        let clock = SimulatedClock::default();
        let faulty = faulty.with_clock(clock.clone());
        let is_there = || memory.objects().contains_key("log/1");
        let error = faulty
            .create("log/1", b"1")
            .expect_err("there is no answer");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        faulty
            .create("log/1", b"1")
            .expect_err("nothing has passed");
        assert!(faulty.is_waited_for());
        let before = is_there();
        clock.advance(Duration::from_millis(10));
        assert!(!faulty.is_waited_for());
        faulty.list("other/").expect("it answers");
        match (before, is_there()) {
            (true, _) => at_once += 1,
            (false, true) => late += 1,
            (false, false) => when_asked += 1,
        }
        faulty.create("log/1", b"1").expect("it is answered");
        assert!(is_there());
    }
    assert!(
        at_once > 5 && late > 5 && when_asked > 5,
        "{at_once} {late} {when_asked}"
    );
}

#[test]
fn the_hook_sees_every_call() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let faulty = Faulty::new(Arc::new(Memory::new()), Faults::default()).before_each_call(
        Box::new(move |action, name| {
            log.lock()
                .expect("no panic")
                .push(format!("{action} {name}"));
        }),
    );
    faulty.create("a", b"1").expect("is made");
    faulty.list("log/").expect("is listed");
    assert_eq!(*seen.lock().expect("no panic"), ["create a", "list log/"]);
}
