//! Sources in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll::{Pending, Ready};
use std::thread;

use serde_json::json;
use wallaroo_core::{Position, Read, Source, Waker};

use super::*;
use crate::connectors::testing::{PATIENCE, Worker, refusal};
use crate::connectors::{generator, iter};

#[test]
fn what_is_sent_is_read_in_order_and_close_ends_it() {
    let (sender, mut source) = channel(10);
    let mut worker = Worker::open(&mut source);
    assert_eq!(worker.step().unwrap(), Read::Idle);
    let worker = thread::scope(|scope| {
        scope.spawn(|| {
            (0..1000).for_each(|number| sender.send(number).unwrap());
            sender.close();
        });
        worker.run()
    });
    assert_eq!(worker.messages, (0..1000).collect::<Vec<_>>());
    assert_eq!(sender.send(7), Err(SendError(7)));
}

#[test]
fn a_full_source_refuses_and_lets_in_again() {
    let (sender, mut source) = channel(2);
    assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Ok(())));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    let mut worker = Worker::open(&mut source).with_room(1);
    assert_eq!(worker.step().unwrap(), Read::More);
    assert_eq!(sender.try_send(3), Ok(()));
    assert_eq!(worker.stop().messages, [1, 2, 3]);
}

#[test]
fn what_was_sent_before_a_stop_is_read_and_the_rest_comes_back() {
    let (sender, mut source) = channel(4);
    let worker = Worker::open(&mut source);
    let (read, sent) = thread::scope(|scope| {
        let senders: Vec<_> = (0..4u64)
            .map(|offset| {
                let sender = sender.clone();
                scope.spawn(move || {
                    (0..)
                        .take_while(|number| sender.send(number * 4 + offset).is_ok())
                        .count()
                })
            })
            .collect();
        let mut worker = worker;
        worker.run_until(|worker| worker.messages.len() > 100);
        let read = worker.stop().messages.len();
        (
            read,
            senders
                .into_iter()
                .map(|sender| sender.join().unwrap())
                .sum::<usize>(),
        )
    });
    assert_eq!(read, sent);
}

#[test]
fn senders_that_wait_are_let_go_when_the_reader_or_the_source_is_dropped() {
    let (sender, mut source) = channel(1);
    sender.send(1).unwrap();
    let worker = Worker::open(&mut source);
    let (done, ended) = crossbeam_channel::bounded(1);
    let thread = thread::Builder::new()
        .spawn(move || done.send(sender.send(2)).unwrap())
        .unwrap();
    drop(worker);
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), Err(SendError(2)));
    thread.join().unwrap();

    let (sender, source) = channel(1);
    drop(source);
    assert!(sender.is_closed());
    assert_eq!(sender.try_send(1), Err(TrySendError::Closed(1)));
}

#[test]
fn errors_of_senders_are_texts() {
    assert_eq!(
        SendError(1).to_string(),
        "cannot send: the source has ended"
    );
    assert_eq!(
        TrySendError::Closed(1).to_string(),
        "cannot send: the source has ended"
    );
    assert_eq!(
        TrySendError::Full(1).to_string(),
        "cannot send now: the source is full; try again, or use send to wait"
    );
}

#[test]
fn an_iterator_is_read_once() {
    let mut source = iter(0..2500);
    let worker = Worker::open(&mut source).run();
    assert_eq!(worker.messages, (0..2500).collect::<Vec<_>>());
    let text = "cannot read an iterator a second time; use generator, or a file, where a source must be continued";
    let opened = Source::<i32>::open(&mut source, "iterator", None, &Waker::disconnected());
    assert_eq!(
        refusal(opened.map(drop)),
        (Code::SourceUnreadable, text.to_owned())
    );
}

#[test]
fn a_channel_is_read_once() {
    let (_sender, mut source) = channel::<u8>(1);
    let _worker = Worker::open(&mut source);
    let text =
        "cannot read a channel a second time; make a channel for each run of the application";
    assert_eq!(
        refusal(
            source
                .open("channel", None, &Waker::disconnected())
                .map(drop)
        ),
        (Code::SourceUnreadable, text.to_owned())
    );
}

#[test]
fn a_generator_continues_where_it_was() {
    let open = || generator(5u32, |number| number.checked_sub(1));
    let mut worker = Worker::open(&mut open()).with_room(2);
    assert_eq!(worker.step().unwrap(), Read::More);
    let position = worker.reader.position();
    assert_eq!(position, Position::of(json!(3)));
    assert_eq!(worker.run().messages, [5, 4, 3, 2, 1, 0]);
    let rest = Worker::open_at(&mut open(), "generator", Some((&position, 3))).run();
    assert_eq!(
        (rest.messages, rest.numbers),
        (vec![3, 2, 1, 0], vec![3, 4, 5, 6])
    );
    let ended = Worker::open_at(&mut open(), "generator", Some((&rest.reader.position(), 7))).run();
    assert!(ended.messages.is_empty());
}

/// Counts how often a task has been woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future on an executor that only polls when it is told to.
struct Task<T> {
    future: SendAsync<T>,
    woken: Arc<Woken>,
}

impl<T> Task<T> {
    fn new(future: SendAsync<T>) -> Self {
        Task {
            future,
            woken: Arc::default(),
        }
    }

    fn poll(&mut self) -> Poll<Result<(), SendError<T>>> {
        let waker = Arc::clone(&self.woken).into();
        let mut context = task::Context::from_waker(&waker);
        Pin::new(&mut self.future).poll(&mut context)
    }

    fn woken(&self) -> usize {
        self.woken.0.load(Ordering::SeqCst)
    }
}

#[test]
fn a_task_waits_for_room_and_is_woken_once_for_it() {
    let (sender, mut source) = channel(1);
    let mut worker = Worker::open(&mut source).with_room(1);
    let (mut first, mut second) = (
        Task::new(sender.send_async(1)),
        Task::new(sender.send_async(2)),
    );
    assert_eq!((first.poll(), second.poll()), (Ready(Ok(())), Pending));
    assert_eq!(second.woken(), 0);
    assert_eq!(worker.step().unwrap(), Read::More);
    assert_eq!(second.woken(), 1);
    assert_eq!(second.poll(), Ready(Ok(())));
    drop((first, second));
    assert_eq!(worker.stop().messages, [1, 2]);
}

/// Room that a task was told of and does not use goes to the next.
#[test]
fn a_task_that_goes_away_leaves_its_place_to_the_next() {
    let (sender, mut source) = channel(1);
    let mut worker = Worker::open(&mut source).with_room(1);
    sender.try_send(1).unwrap();
    let tasks = [2, 3, 4].map(|number| Task::new(sender.send_async(number)));
    let [mut first, mut second, mut third] = tasks;
    assert_eq!(
        (first.poll(), second.poll(), third.poll()),
        (Pending, Pending, Pending)
    );
    // One that waits in the middle goes away: nobody is told.
    drop(second);
    assert_eq!((first.woken(), third.woken()), (0, 0));
    assert_eq!(worker.step().unwrap(), Read::More);
    assert_eq!((first.woken(), third.woken()), (1, 0));
    drop(first);
    assert_eq!(third.woken(), 1);
    assert_eq!(third.poll(), Ready(Ok(())));
    assert_eq!(worker.stop().messages, [1, 4]);
}

#[test]
fn a_task_that_waits_gets_its_message_back_when_the_source_ends() {
    let (sender, source) = channel(1);
    sender.try_send(1).unwrap();
    let mut task = Task::new(sender.send_async(2));
    assert_eq!(task.poll(), Pending);
    sender.close();
    assert_eq!(task.woken(), 1);
    assert_eq!(task.poll(), Ready(Err(SendError(2))));
    drop(source);
}
