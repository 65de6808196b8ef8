#!/usr/bin/env python3
"""Breaks the engine on purpose, in a copy, and checks that the tests named here notice.

A mutation replaces one piece of text. It is an error if the text is not there once, if the mutated engine does not
compile, or if the test passes. Takes a few minutes: the engine is built once per mutation. With arguments only the mutations
whose names contain one of them.
"""
import os, pathlib, re, shutil, subprocess, sys

ENGINE = "crates/engine/src"
DURABLE = "crates/wallaroo/src/durable"
ACKNOWLEDGED = "crates/wallaroo/src/connectors/acknowledged"
INPUT_LOG = "crates/store/src/input_log"
LIVES = ("durable", "everything_has_its_effect_once_whenever_processes_die")
SEQUENCES = ("sequences", "all_84_sequences_do_what_the_model_does_in_simulation")
MUTATIONS = [  # name, file, text, replacement, (suite, test)
    ("no stash: messages of the next epoch are not held back", f"{ENGINE}/region.rs",
     "if waiting.epoch() > self.open {",
     "if waiting.epoch() > Epoch(u32::MAX) {",
     ("random", "an_epoch_holds_exactly_the_records_before_its_positions")),
    ("wrong owner: where a key goes depends on who sends it", f"{ENGINE}/executor/outbox.rs",
     "let owner = |hash: &KeyHash| owners.assignment.owner(owners.groups.group_of(*hash)).0;",
     "let owner = |hash: &KeyHash| (owners.assignment.owner(owners.groups.group_of(*hash)).0 + owners.me) % owners.workers;",
     SEQUENCES),
    ("a dropped batch: those of three messages are not sent", f"{ENGINE}/executor/outbox.rs",
     "fn send_whole(&mut self, edge: EdgeIndex, destination: usize, mut contents: Box<Contents>) {\n",
     "fn send_whole(&mut self, edge: EdgeIndex, destination: usize, mut contents: Box<Contents>) {\n"
     "        if contents.messages.len() == 3 { return; }\n",
     SEQUENCES),
    ("a doubled batch: stages handle those of three messages twice", f"{ENGINE}/executor.rs",
     "        if reached >= end {\n            frame.consumer += 1;\n",
     "        if reached >= end {\n            static CALLS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);\n"
     "            let again = end == 3 && CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 == 0;\n"
     "            frame.consumer += usize::from(!again);\n",
     SEQUENCES),
    ("two owners: every other batch of a key goes to another worker", f"{ENGINE}/executor/outbox.rs",
     "let owner = |hash: &KeyHash| owners.assignment.owner(owners.groups.group_of(*hash)).0;",
     "static BATCHES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);\n"
     "        let turn = BATCHES.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2;\n"
     "        let owner = |hash: &KeyHash| (owners.assignment.owner(owners.groups.group_of(*hash)).0 + turn) % owners.workers;",
     ("order", "two_threads_are_never_in_one_state_object")),
    ("no order: waiting batches are taken from the back", f"{ENGINE}/region.rs",
     "self.pending.pop_front()", "self.pending.pop_back()", SEQUENCES),
    ("no turns: each half of a split is worked off at once, also where both meet again", f"{ENGINE}/executor/taking.rs",
     "        if *meet {\n", "        if *meet && halves.is_empty() {\n",
     ("order", "parts_that_meet_again_keep_their_order")),
    ("no turns: each use of a stream gets its whole batch", f"{ENGINE}/executor.rs",
     "if !layout.meet(plan, consumers.chunks(1)) {", "if !layout.meet(plan, consumers.chunks(1)) || layout.levels > 0 {",
     ("order", "parts_that_meet_again_keep_their_order")),
    ("too early: an epoch ends when the first operator has done with it", f"{ENGINE}/epochs.rs",
     "progress.open.iter().flatten().min()", "progress.open.iter().flatten().max()",
     ("random", "an_epoch_holds_exactly_the_records_before_its_positions")),
    ("no bound: work goes on however much is stashed", f"{ENGINE}/stash.rs",
     "sum > self.limit_bytes\n", "sum > usize::MAX / 2 + self.limit_bytes\n",
     ("epochs", "what_waits_for_the_end_of_an_epoch_is_bounded")),
    ("no rollback: a failing call under skip leaves its changes", f"{ENGINE}/executor/state.rs",
     "self.roll_back(table, slot)?;", "let _ = (table, slot, Self::roll_back);",
     ("order", "a_failing_call_leaves_the_object_as_it_was")),
    ("a snapshot too late: an object changes before it is saved", f"{ENGINE}/executor/state.rs",
     "        self.save_before_call(table, &scratch.slots)?;\n", "",
     ("random", "an_epoch_holds_exactly_the_records_before_its_positions")),
    ("what a merge reads and makes may be deleted", f"{DURABLE}/committer.rs",
     "let merged = self.merges.protected();", "let merged = self.merges.protected().into_iter().take(0);", LIVES),
    ("published before the commit", f"{DURABLE}/committer.rs",
     "        if way.step == Step::Commit {\n            self.commit(way)?;",
     "        if way.step == Step::Commit {\n            self.publish(way)?;\n            self.commit(way)?;", LIVES),
    ("positions of the epoch before are committed", f"{DURABLE}/committer.rs",
     "self.positions = self.stored(&way.data.positions);\n                let commit = self.commit_of(way.data.epoch);",
     "let commit = self.commit_of(way.data.epoch);\n                self.positions = self.stored(&way.data.positions);", LIVES),
    ("positions of a later epoch are committed", f"{DURABLE}/collector.rs",
     "        inner.ended.push_back(data);",
     "        if let Some(last) = inner.ended.back_mut() { last.positions = data.positions.clone(); }\n"
     "        inner.ended.push_back(data);", LIVES),
    ("a segment that no commit names", f"{DURABLE}/committer.rs",
     "self.segments.extend(way.segment.clone());",
     "self.segments.extend(way.segment.clone().filter(|_| way.data.epoch % 5 != 0));", LIVES),
    ("an outbox that no commit names", f"{DURABLE}/committer.rs",
     "self.outboxes.extend(way.outbox.clone());", "", LIVES),
    ("what a restart finds committed is not published", f"{DURABLE}/open.rs",
     "if *epoch > state.published_epoch {", "if *epoch > state.published_epoch + 1000 {", LIVES),
    ("no deduplication: a restart publishes behind what is there", f"{DURABLE}/open.rs",
     "                    position = publisher.publish(*epoch, &rows.rows).map_err(failed)?;",
     "                    publisher.publish(*epoch, &rows.rows).map_err(failed)?;\n"
     "                    position = publisher.publish(*epoch, &rows.rows).map_err(failed)?;", LIVES),
    ("what lost workers had reported of an open epoch is committed", f"{DURABLE}/collector.rs",
     "        self.lock().open.clear();", "", LIVES),
    ("sinks keep what lost workers had written", f"{DURABLE}/recovery.rs",
     "        self.put_sinks_back(&point)?;", "        let _ = Self::put_sinks_back;", LIVES),
    ("readers stay where lost workers had read to", f"{ENGINE}/recovery.rs",
     "    let from = stood.map(|stood| &stood.position);",
     "    let here = place.as_ref().map(|partition| partition.reader.position());\n    let from = here.as_ref();", LIVES),
    ("what had ended when workers were lost is not committed first", f"{DURABLE}/inline.rs",
     "        self.commit(true);\n        self.collector.forget_open();",
     "        self.collector.forget_open();", LIVES),
    ("acknowledged before it is on the disk", f"{ACKNOWLEDGED}/acks.rs",
     "syncs.iter().try_for_each(", "syncs.iter().take(0).try_for_each(", LIVES),
    ("what a sender sends again is taken again", f"{ACKNOWLEDGED}/reader.rs",
     "if number <= producer.seen.load(Ordering::SeqCst) {", "if number == 0 {", LIVES),
    ("the torn end of an input log is cut off one record too far", f"{INPUT_LOG}/reader.rs",
     "disk.cut(&before.path, before.end.length)", "disk.cut(&before.path, before.end.length - 1)", LIVES),
    ("an input log goes on while the last file of the process before is not on the disk", f"{INPUT_LOG}.rs",
     "if let Some(path) = &self.left {", "if let Some(path) = self.left.as_ref().filter(|_| false) {",
     ("durable", "an_input_log_has_no_holes_when_the_power_fails")),
    ("an input log goes on in another file while the last one is not on the disk", f"{INPUT_LOG}.rs",
     "if let Some(ended) = &self.ended {", "if let Some(ended) = self.ended.as_ref().filter(|_| false) {",
     ("durable", "an_input_log_has_no_holes_when_the_power_fails")),
]


def run_test(copy, target, suite, test):
    """The result of one test in the copy: passed, failed (and why), or what cargo said."""
    command = ["cargo", "test", "--locked", "-p", "wallaroo-simulation", "--test", suite, "--", "--exact", test]
    env = {**os.environ, "CARGO_TARGET_DIR": str(target), "RUST_BACKTRACE": "0"}
    env.pop("WALLAROO_SEED", None)
    env.pop("WALLAROO_SEEDS", None)
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)
    result = re.search(rf"^test {test} \.\.\. (ok|FAILED)$", done.stdout, re.MULTILINE)
    if not result:
        return "no result:\n" + done.stderr[-3000:] + done.stdout[-1000:]
    if result[1] == "ok":
        return "passed"
    # The last panic is the test's own; those before may be of workers.
    reasons = re.findall(r"^thread '[^']*' \(?[^\n]*panicked at [^\n]*\n([^\n]*)", done.stdout + done.stderr, re.MULTILINE)
    return "failed: " + (reasons[-1] if reasons else "no panic found")


def main():
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "mutations"
    listed = subprocess.check_output(["git", "ls-files", "-coz", "--exclude-standard"], cwd=root, text=True)
    bad = []
    # Always the same place, so that a run replaces what the last one has built.
    copy = target / "source"
    shutil.rmtree(copy, ignore_errors=True)
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            # Not with its old time: cargo would take what was built of a mutation for newer.
            shutil.copyfile(root / name, copy / name)
    chosen = [m for m in MUTATIONS if not sys.argv[1:] or any(part in m[0] for part in sys.argv[1:])]
    for suite, test in sorted({mutation[4] for mutation in chosen}):
        if (result := run_test(copy, target, suite, test)) != "passed":
            bad.append(f"without a mutation {test} does not pass: {result}")
    for name, file, text, replacement, (suite, test) in chosen:
        original = (copy / file).read_text(encoding="utf-8")
        if (count := original.count(text)) != 1:
            bad.append(f"{name}: the text to replace is {count} times in {file}; adapt the mutation to the code")
            continue
        (copy / file).write_text(original.replace(text, replacement), encoding="utf-8")
        result = run_test(copy, target, suite, test)
        (copy / file).write_text(original, encoding="utf-8")
        print(f"{name}\n    {suite}::{test} {result}", flush=True)
        if not result.startswith("failed"):
            bad.append(f"{name}: expected {test} to fail: {result}")
    print("\n".join(bad) or f"mutations: all {len(chosen)} noticed")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
