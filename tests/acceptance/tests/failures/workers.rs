use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wallaroo::host::HostRuntime;
use wallaroo::{App, Code, ErrorKind, Options, State, channel, generator, iter, source};
use wallaroo_acceptance::ending;
use wallaroo_acceptance::gate::Gate;
use wallaroo_acceptance::waiting::until;

use crate::{Account, Order, POLICY, check, order, place};

/// Sent when the other workers do what they are to do at the moment of the panic.
const PANIC: i64 = 13;

fn text(line: u32) -> String {
    format!(
        "the stage \"Account::add\" ({}) panicked: unlucky amount; key \"ann\"; source \"orders\", channel, \
         record 1; message {{\"customer\":\"ann\",\"amount\":13}}; {POLICY}",
        place!(line)
    )
}

#[test]
fn a_panic_ends_the_run_while_other_workers_are_idle() {
    let accounts = State::<Account>::new("accounts");
    let (_sender, orders) = channel::<Order>(10);
    let orders = source("orders", orders).key_by(|order| &order.customer);
    let totals = orders.to_state(&accounts, Account::add);
    let line = line!() - 1;
    let running = App::new("idle")
        .add(totals.end())
        .start(Options::with_workers(4));
    let running = running.expect("it starts");
    running
        .send("orders", order("ann", PANIC))
        .expect("it runs");
    let error = ending::wait(&running).expect_err("it fails");
    check(&error, ErrorKind::User, Code::UserPanic, text(line));
}

#[test]
fn a_panic_ends_the_run_while_other_workers_are_busy() {
    let accounts = State::<Account>::new("accounts");
    let (_sender, orders) = channel::<Order>(10);
    let orders = source("orders", orders).key_by(|order| &order.customer);
    let totals = orders.to_state(&accounts, Account::add);
    let line = line!() - 1;
    let counts = State::<Account>::new("counts");
    let endless = source("numbers", generator(0u64, |number| Some(number + 1)))
        .key_by_value(|number| number % 100)
        .to_state(&counts, |count: &mut Account, _: &u64| count.orders += 1);
    let running = App::new("busy")
        .add(totals.end())
        .add(endless.end())
        .start(Options::with_workers(4))
        .expect("it starts");
    until("all workers are busy", || {
        running
            .status()
            .nodes
            .iter()
            .any(|node| node.messages_in > 10_000)
    });
    running
        .send("orders", order("ann", PANIC))
        .expect("it runs");
    let error = ending::wait(&running).expect_err("it fails");
    check(&error, ErrorKind::User, Code::UserPanic, text(line));
}

/// The gate stays closed: nobody may wait for what is in front of it.
#[test]
fn a_panic_ends_the_run_while_a_sink_is_blocked_and_sources_wait() {
    let accounts = State::<Account>::new("accounts");
    let (sender, orders) = channel::<Order>(10);
    let gate = Gate::closed(|_: u64| {});
    let blocked = gate.clone();
    let add = move |account: &mut Account, order: &Order| {
        until("the gate is blocked", || blocked.has_refused());
        account.add(order)
    };
    let orders = source("orders", orders).key_by(|order| &order.customer);
    let totals = orders.to_state(&accounts, add).named("Account::add");
    let line = line!() - 1;
    let endless = source("numbers", generator(0u64, |number| Some(number + 1)));
    // It is there before anything is read, so that the worker of both sources has credit for it.
    sender.send(order("ann", PANIC)).expect("there is room");
    let running = App::new("blocked")
        .add(totals.end())
        .add(endless.to_sink("gate", gate))
        .start(Options::with_workers(4))
        .expect("it starts");
    let error = ending::wait(&running).expect_err("it fails");
    check(&error, ErrorKind::User, Code::UserPanic, text(line));
}

#[test]
fn a_panic_ends_the_run_while_another_worker_is_inside_a_function() {
    let accounts = State::<Account>::new("accounts");
    let counts = State::<Account>::new("counts");
    let (inside, leave) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (_sender, orders) = channel::<Order>(10);
    let orders = source("orders", orders).key_by(|order| &order.customer);
    let totals = orders.to_state(&accounts, Account::add);
    let line = line!() - 1;
    let (entered, may_leave) = (Arc::clone(&inside), Arc::clone(&leave));
    // Of these keys some belong to other workers than that of "ann".
    let slow = source("numbers", iter(0..64u64))
        .key_by_value(|number| *number)
        .to_state(&counts, move |_: &mut Account, _: &u64| {
            if std::thread::current().name() != Some("timely:work-0") {
                entered.store(true, Ordering::SeqCst);
                until("the test lets the function return", || {
                    may_leave.load(Ordering::SeqCst)
                });
            }
        });
    let running = App::new("inside")
        .add(totals.end())
        .add(slow.end())
        .start(Options::with_workers(4))
        .expect("it starts");
    until("a worker is inside the function", || {
        inside.load(Ordering::SeqCst)
    });
    running
        .send("orders", order("ann", PANIC))
        .expect("it runs");
    leave.store(true, Ordering::SeqCst);
    let error = ending::wait(&running).expect_err("it fails");
    check(&error, ErrorKind::User, Code::UserPanic, text(line));
}

/// A language whose part in the work of a worker fails, which no policy covers.
struct Broken;

impl HostRuntime for Broken {
    fn enter(&self, work: &mut dyn FnMut()) {
        work();
    }

    fn between_steps(&self) {
        panic!("no step of mine");
    }

    fn longest_sleep(&self) -> Duration {
        Duration::from_millis(1)
    }
}

#[test]
fn a_panic_outside_of_your_code_is_a_bug_and_asks_for_a_report() {
    let (_sender, orders) = channel::<Order>(10);
    let app = App::new("bug").add(source("orders", orders).end());
    let (running, body) = app
        .prepare(Options::default(), Arc::new(Broken))
        .expect("it starts");
    body.run();
    let error = ending::wait(&running).expect_err("it fails");
    check(
        &error,
        ErrorKind::Bug,
        Code::Bug,
        "a worker failed: no step of mine; this is a bug of Wallaroo, please report it",
    );
}
