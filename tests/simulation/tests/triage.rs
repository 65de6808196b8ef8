use wallaroo_simulation::{Case, Mode, check::compare, run};
#[test]
fn triage() {
    let n: u64 = std::env::var("N").map_or(300, |n| n.parse().unwrap());
    let mode = if std::env::var("T").is_ok() { Mode::Threads } else { Mode::Simulated };
    let (mut bad, t) = (0, std::time::Instant::now());
    let mut kinds = std::collections::BTreeMap::<String, (u64, u64, usize)>::new();
    for seed in 1..=n {
        let case = Case::random(seed);
        let r = std::panic::catch_unwind(|| run(&case, mode).and_then(|o| compare(&case, &o)));
        let text = match r { Ok(Ok(())) => continue, Ok(Err(t)) => t, Err(e) => e.downcast_ref::<String>().cloned().unwrap_or_else(|| e.downcast_ref::<&str>().unwrap_or(&"?").to_string()) };
        bad += 1;
        let line: String = text.lines().next().unwrap_or("").chars().take(300).collect();
        let kind: String = line.chars().map(|c| if c.is_ascii_digit() {'#'} else {c}).take(60).collect();
        let e = kinds.entry(kind).or_insert((seed, 0, usize::MAX));
        e.1 += 1;
        if case.topology.nodes.len() < e.2 { *e = (seed, e.1, case.topology.nodes.len()); println!("{seed} {} {text}", case.topology.nodes.len()); }
    }
    println!("{bad} of {n} in {:?}", t.elapsed());
    for (k, v) in kinds { println!("{v:?} {k}"); }
}
