use wallaroo::{App, Code, Options, State, channel, memory, source};
use wallaroo_acceptance::ending;

use crate::Count;

/// Two applications with the same names have nothing to do with each other, and one goes on when the other fails.
#[test]
fn applications_in_one_process_do_not_disturb_each_other() {
    let start = || {
        let numbered = memory();
        let counts = State::<Count>::new("counts");
        let (_sender, words) = channel::<String>(10);
        let running = App::new("words")
            .add(
                source("words", words)
                    .to(|word: &String| {
                        assert!(word != "panic", "as asked");
                        Some(word.clone())
                    })
                    .key_by(|word| word)
                    .to_state(&counts, Count::number)
                    .to_sink("numbered", numbered.clone()),
            )
            .start(Options::with_workers(2))
            .expect("it starts");
        (running, numbered)
    };
    let (one, one_numbered) = start();
    let (other, other_numbered) = start();
    for running in [&one, &other, &one] {
        running.send("words", "to".to_owned()).expect("it runs");
    }
    one.send("words", "panic".to_owned()).expect("it runs");
    let error = ending::wait(&one).expect_err("it fails");
    assert_eq!(error.code(), Code::UserPanic);
    other.send("words", "to".to_owned()).expect("it runs");
    other.stop();
    ending::wait(&other).expect("it completes");
    let expected = [("to".to_owned(), 1), ("to".to_owned(), 2)];
    assert_eq!(other_numbered.take(), expected);
    // Of the one that failed what came before may have come through or not.
    assert!(
        one_numbered
            .take()
            .iter()
            .all(|message| expected.contains(message))
    );
}
