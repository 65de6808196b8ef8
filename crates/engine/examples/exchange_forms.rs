//! What it costs to hand messages to another worker as they are, and as bytes.
//!
//! Two workers exchange batches of 2,048 messages by timely, once by its typed channels (a batch goes over by pointer) and
//! once by its channels of bytes (it is written into a shared buffer and read back, as between processes). Both sides
//! spread the messages over two batches first, by the same loop. Prints processor time per message, the median of five
//! runs of each in turns; two sizes of message: 24 bytes without heap parts, and the same with a text of eight letters.
//! Run: `cargo run --release -p wallaroo-engine --example exchange_forms` (Linux: it reads `/proc`).
#![allow(clippy::print_stdout, reason = "a benchmark prints its numbers")]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark asks the system what it has cost"
)]

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use timely::WorkerConfig;
use timely::communication::Push;
use timely::container::Accountable;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::generic::operator::source;
use timely::progress::Stamp;

const BATCH: usize = 2048;
const BATCHES: u64 = 4_000;
const WORKERS: usize = 2;
/// Ticks of the clock of `/proc` in a second.
const TICKS: f64 = 100.0;

/// A message that can be written and read in the cheapest way for its type.
trait Form: Clone + Send + 'static {
    fn new(number: u64) -> Self;
    fn number(&self) -> u64;
    fn write(&self, bytes: &mut impl Write);
    fn read(bytes: &mut &[u8]) -> Self;
    fn len(&self) -> usize;
}

#[derive(Clone)]
struct Bare([u64; 3]);

#[derive(Clone)]
struct Text {
    numbers: [u64; 2],
    text: String,
}

fn number(bytes: &mut &[u8]) -> u64 {
    let (first, rest) = bytes.split_first_chunk().expect("it was written");
    *bytes = rest;
    u64::from_le_bytes(*first)
}

fn put(bytes: &mut impl Write, part: &[u8]) {
    bytes.write_all(part).expect("there is room for its length");
}

impl Form for Bare {
    fn new(number: u64) -> Self {
        Bare([number; 3])
    }
    fn number(&self) -> u64 {
        self.0[0]
    }
    fn write(&self, bytes: &mut impl Write) {
        let mut all = [0; 24];
        for (part, number) in all.chunks_exact_mut(8).zip(self.0) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        put(bytes, &all);
    }
    fn read(bytes: &mut &[u8]) -> Self {
        Bare([number(bytes), number(bytes), number(bytes)])
    }
    fn len(&self) -> usize {
        24
    }
}

impl Form for Text {
    fn new(number: u64) -> Self {
        let text = format!("{:08}", number % 10_000);
        Text {
            numbers: [number; 2],
            text,
        }
    }
    fn number(&self) -> u64 {
        self.numbers[0]
    }
    fn write(&self, bytes: &mut impl Write) {
        put(bytes, &self.numbers[0].to_le_bytes());
        put(bytes, &self.numbers[1].to_le_bytes());
        put(bytes, &(self.text.len() as u64).to_le_bytes());
        put(bytes, self.text.as_bytes());
    }
    fn read(bytes: &mut &[u8]) -> Self {
        let numbers = [number(bytes), number(bytes)];
        let len = usize::try_from(number(bytes)).expect("it was a length");
        let (text, rest) = bytes.split_at(len);
        *bytes = rest;
        let text = std::str::from_utf8(text).expect("it was text").to_owned();
        Text { numbers, text }
    }
    fn len(&self) -> usize {
        24 + self.text.len()
    }
}

struct Batch<M>(Vec<M>);

impl<M> Default for Batch<M> {
    fn default() -> Self {
        Batch(Vec::new())
    }
}

impl<M> Accountable for Batch<M> {
    fn record_count(&self) -> i64 {
        i64::from(!self.0.is_empty())
    }
}

impl<M: Form> ContainerBytes for Batch<M> {
    fn from_bytes(bytes: timely::bytes::arc::Bytes) -> Self {
        let mut rest = &bytes[..];
        let count = usize::try_from(number(&mut rest)).expect("it was a length");
        Batch((0..count).map(|_| M::read(&mut rest)).collect())
    }
    fn length_in_bytes(&self) -> usize {
        let len: usize = self.0.iter().map(M::len).sum();
        (8 + len).next_multiple_of(8)
    }
    fn into_bytes<W: Write>(&self, writer: &mut W) {
        put(writer, &(self.0.len() as u64).to_le_bytes());
        self.0.iter().for_each(|message| message.write(writer));
        let len: usize = self.0.iter().map(M::len).sum();
        put(writer, &[0; 8][..len.next_multiple_of(8) - len]);
    }
}

/// Gathers messages for each worker, and sends full batches.
struct Spread<M>(Vec<Vec<M>>);

impl<M: Form> Distributor<Batch<M>> for Spread<M> {
    fn partition<T: Clone, P: Push<Message<T, Batch<M>>>>(
        &mut self,
        batch: &mut Batch<M>,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        for message in batch.0.drain(..) {
            let hash = message.number().wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let to = usize::from(hash >> 63 == 1);
            self.0[to].push(message);
            if self.0[to].len() == BATCH {
                let mut full = Batch(std::mem::take(&mut self.0[to]));
                Message::push_at(&mut full, stamp.clone(), &mut pushers[to]);
                // Channels of bytes hand the batch back: its memory is used again.
                full.0.clear();
                full.0.reserve(BATCH);
                self.0[to] = full.0;
            }
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Batch<M>>>>(
        &mut self,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        for (gathered, pusher) in self.0.iter_mut().zip(pushers) {
            if !gathered.is_empty() {
                let mut batch = Batch(std::mem::take(gathered));
                Message::push_at(&mut batch, stamp.clone(), pusher);
            }
        }
    }
}

/// Processor time of all threads of this process.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let behind_name = stat.rsplit(')').next().expect("there is a name");
    let fields = behind_name.split_ascii_whitespace().skip(11).take(2);
    let ticks: f64 = fields
        .map(|field| field.parse::<f64>().expect("a number"))
        .sum();
    ticks / TICKS
}

/// Nanoseconds of processor time per message; without `exchange` the cost of making and dropping them.
fn run<M: Form>(config: timely::CommunicationConfig) -> f64 {
    let begin = processor_time();
    let (builders, others) = config.try_build().expect("threads can be had");
    let guards = timely::execute::execute_from(
        builders,
        others,
        WorkerConfig::default(),
        |worker: &mut timely::worker::Worker| {
            let seen = Rc::new(Cell::new(0u64));
            let count = Rc::clone(&seen);
            let offset = worker.index() as u64 * BATCHES * BATCH as u64;
            worker.dataflow::<u64, _, _>(|scope| {
                let numbers = source(scope, "numbers", |capability, info| {
                    let activator = scope.activator_for(info.address);
                    let mut capability = Some(capability);
                    let mut made = 0;
                    let mut batch = Batch::<M>::default();
                    move |output| {
                        let Some(held) = &mut capability else { return };
                        let first = offset + made * BATCH as u64;
                        batch.0.extend((first..first + BATCH as u64).map(M::new));
                        output.session(held).give_container(&mut batch);
                        batch.0.clear();
                        made += 1;
                        // Time moves on every 16 batches, so that queues stay short.
                        held.downgrade(&(made / 16));
                        if made == BATCHES {
                            capability = None;
                        }
                        activator.activate();
                    }
                });
                let pact =
                    DistributorPact(|peers| Spread::<M>(vec![Vec::with_capacity(BATCH); peers]));
                numbers.sink(pact, "seen", move |(input, _)| {
                    input.for_each(|_, batch: &mut Batch<M>| {
                        let sum = batch.0.iter().map(M::number).fold(0, u64::wrapping_add);
                        count.set(count.get() + batch.0.len() as u64);
                        std::hint::black_box(sum);
                        batch.0.clear();
                    });
                });
            });
            while worker.step_or_park(Some(Duration::from_secs(1))) {}
            seen.get()
        },
    )
    .expect("workers start");
    let seen: u64 = guards
        .join()
        .into_iter()
        .map(|seen| seen.expect("no panic"))
        .sum();
    assert_eq!(seen, WORKERS as u64 * BATCHES * BATCH as u64);
    (processor_time() - begin) * 1e9 / seen as f64
}

fn compare<M: Form>(name: &str) {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=5 {
        let typed = run::<M>(timely::CommunicationConfig::Process(WORKERS));
        let bytes = run::<M>(timely::CommunicationConfig::ProcessBinary(WORKERS));
        // The first round warms up.
        if round > 0 {
            times[0].push(typed);
            times[1].push(bytes);
        }
    }
    let [typed, bytes] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!(
        "{name:28} typed {typed:6.1} ns  bytes {bytes:6.1} ns  bytes/typed {:.2}",
        bytes / typed
    );
}

fn main() {
    compare::<Bare>("24 bytes");
    compare::<Text>("16 bytes and a text of 8");
}
