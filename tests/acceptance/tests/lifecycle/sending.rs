use wallaroo::{App, Code, Error, ErrorKind, Options, Running, channel, iter, source};
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::tally::{Arrived, Tally};
use wallaroo_acceptance::waiting::{until, until_still};

/// An application that takes numbers and words, behind a gate.
fn started(gate: Gate<u64>) -> Running {
    let (_numbers_sender, numbers) = channel::<u64>(4);
    let (_words_sender, words) = channel::<String>(4);
    App::new("sending")
        .add(source("numbers", numbers).to_sink("gate", gate))
        .add(source("words", words).end())
        .start(Options::default())
        .expect("it starts")
}

fn open_gate() -> Gate<u64> {
    Gate::slow(usize::MAX, |_| {})
}

#[track_caller]
fn check(result: Result<(), Error>, kind: ErrorKind, code: Code, text: &str) {
    let error = result.expect_err("it is refused");
    assert_eq!(error.to_string(), format!("{code}: {text}"));
    assert_eq!((error.kind(), error.code()), (kind, code));
}

#[test]
fn a_source_that_does_not_exist_is_told_with_those_that_do() {
    let running = started(open_gate());
    check(
        running.send("number", 1u64),
        ErrorKind::Invalid,
        Code::SendTarget,
        "cannot send to \"number\": the application has no source of that name that takes messages, as those made with \
         channel() do; it has \"numbers\", \"words\"",
    );
}

#[test]
fn an_application_without_channels_takes_no_messages() {
    let running = App::new("sending")
        .add(source("numbers", iter([1u64])).end())
        .start(Options::default())
        .expect("it starts");
    check(
        running.send("numbers", 1u64),
        ErrorKind::Invalid,
        Code::SendTarget,
        "cannot send to \"numbers\": the application has no source of that name that takes messages, as those made with \
         channel() do; it has none; make one with channel()",
    );
}

#[test]
fn a_message_of_another_type_is_refused() {
    let running = started(open_gate());
    check(
        running.send("numbers", 1u32),
        ErrorKind::Invalid,
        Code::SendType,
        "cannot send a u32 to the source \"numbers\": it takes another type; \
         send the type the source is declared with",
    );
}

#[test]
fn a_stopped_application_takes_no_messages() {
    let running = started(open_gate());
    running.stop();
    ending::wait(&running).expect("it completes");
    let text = "cannot send to the source \"numbers\": the application has stopped; wait() tells whether it failed, and why";
    check(
        running.send("numbers", 1u64),
        ErrorKind::Closed,
        Code::SendClosed,
        text,
    );
    let tried = running.try_send("numbers", 1u64).map(|_| ());
    check(tried, ErrorKind::Closed, Code::SendClosed, text);
}

/// The source takes messages as long as there is credit for them, and then as many as the channel holds.
#[test]
fn a_full_source_gives_the_message_back_and_loses_none() {
    const MESSAGES: usize = 200_000;
    let tally = Tally::once(MESSAGES);
    let taken = tally.clone();
    let take = move |message: [u64; 32]| taken.add(usize::try_from(message[0]).expect("it fits"));
    let gate = Gate::closed(take);
    let (_sender, large) = channel::<[u64; 32]>(1_000);
    let running = App::new("full")
        .add(source("large", large).to_sink("gate", gate.clone()))
        .start(Options::default())
        .expect("it starts");
    let is_full = |number: u64| {
        let given_back = running.try_send("large", [number; 32]).expect("it runs");
        given_back.is_some_and(|message| message == [number; 32])
    };
    let mut next = 0;
    until_still("what the source takes", || {
        while next < MESSAGES as u64 && !is_full(next) {
            next += 1;
        }
        next
    });
    assert!(gate.has_refused() && is_full(next));
    gate.open();
    until("there is room again", || !is_full(next));
    running.stop();
    ending::wait(&running).expect("it completes");
    let sent = next + 1;
    let expected = Arrived {
        right: sent,
        lost: MESSAGES as u64 - sent,
        ..Arrived::default()
    };
    assert_eq!(tally.arrived(), expected);
}

/// Wakes a thread that waits in [`block_on`].
struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn what_many_tasks_send_arrives_once() {
    const TASKS: usize = 8;
    const MESSAGES: usize = 500;
    let tally = Tally::once(TASKS * MESSAGES);
    let taken = tally.clone();
    let gate = Gate::slow(7, move |number: u64| {
        taken.add(usize::try_from(number).expect("it fits"))
    });
    let (_sender, numbers) = channel::<u64>(2);
    let running = App::new("tasks")
        .add(source("numbers", numbers).to_sink("gate", gate))
        .start(Options::with_workers(2))
        .expect("it starts");
    std::thread::scope(|scope| {
        for task in 0..TASKS {
            let running = &running;
            scope.spawn(move || {
                block_on(async {
                    for number in 0..MESSAGES {
                        let number = (task * MESSAGES + number) as u64;
                        running
                            .send_async("numbers", number)
                            .await
                            .expect("it runs");
                    }
                });
            });
        }
    });
    running.stop();
    ending::wait(&running).expect("it completes");
    let expected = Arrived {
        right: (TASKS * MESSAGES) as u64,
        // Of different tasks.
        out_of_order: tally.arrived().out_of_order,
        ..Arrived::default()
    };
    assert_eq!(tally.arrived(), expected);
}

#[test]
fn a_task_that_sends_to_a_stopped_application_gets_the_error_of_send() {
    let running = started(open_gate());
    running.stop();
    ending::wait(&running).expect("it completes");
    let sent = block_on(running.send_async("numbers", 1u64)).map_err(|error| error.code());
    assert_eq!(sent, Err(Code::SendClosed));
    let sent = block_on(running.send_async("numbrs", 1u64)).map_err(|error| error.code());
    assert_eq!(sent, Err(Code::SendTarget));
    let sent = block_on(running.send_async("numbers", 1u32)).map_err(|error| error.code());
    assert_eq!(sent, Err(Code::SendType));
}
