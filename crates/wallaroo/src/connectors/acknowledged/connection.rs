//! The thread of one connection: greets, reads frames, hands them over.
//!
//! **Invariants.** Frames are handed over in the order in which they came. A frame is read only when the one before it has room.

use std::io::{self, BufReader, Read as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::debug;

use super::hub::{Chunk, Hub, Producer};
use super::protocol::{self, Answer, FRAME_HEADER_BYTES, Status};

/// How long a hello may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the system may have no room for an answer of a few bytes: then the sender does not read.
const WRITE_TIMEOUT: Duration = Duration::from_millis(200);
/// Bytes that are handed over together, if they have come together.
const CHUNK_BYTES: usize = 64 * 1024;

/// Serves one connection until it ends.
pub(super) fn serve(hub: &Hub, number: u64, stream: TcpStream) {
    if let Err(error) = greet_and_read(hub, number, &stream) {
        debug!(connection = number, %error, "connection lost");
    }
    // That it is closed already is as good.
    let _ = stream.shutdown(Shutdown::Both);
}

fn greet_and_read(hub: &Hub, number: u64, stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(HELLO_TIMEOUT))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let mut input = BufReader::with_capacity(CHUNK_BYTES, stream);
    let named = protocol::read_hello(&mut input)?;
    let producer = match named.and_then(|name| hub.producer(name)) {
        Ok(producer) => producer,
        Err(status) => return answer(hub, status, 0, stream),
    };
    let result = welcome(hub, number, &producer, stream).and_then(|()| {
        stream.set_read_timeout(Some(hub.limits.idle))?;
        read_frames(hub, number, &producer, &mut input)
    });
    let last = Chunk {
        connection: number,
        producer: Arc::clone(&producer),
        frames: Vec::new(),
        is_last: true,
    };
    // An error means that nobody reads any more.
    let _ = hub.inbox.put(last, 1);
    hub.part(number, &producer);
    result
}

fn answer(hub: &Hub, status: Status, durable: u64, mut stream: &TcpStream) -> io::Result<()> {
    let answer = Answer {
        status,
        max_frame_bytes: u32::try_from(hub.limits.frame_bytes).unwrap_or(u32::MAX),
        durable,
    };
    protocol::write_answer(answer, &mut stream)
}

/// Tells the sender what is durable; acknowledgements go to this connection from then on.
fn welcome(hub: &Hub, number: u64, producer: &Producer, stream: &TcpStream) -> io::Result<()> {
    let other = stream.try_clone()?;
    // No acknowledgement is sent while this is held, so the answer comes first and none is left out.
    let mut current = producer.current();
    let durable = producer.durable.load(Ordering::SeqCst);
    answer(hub, Status::Welcome, durable, stream)?;
    if let Some((_, before)) = current.replace((number, other)) {
        // Of the same sender: it has come back before its end was noticed.
        let _ = before.shutdown(Shutdown::Both);
    }
    Ok(())
}

fn read_frames(
    hub: &Hub,
    number: u64,
    producer: &Arc<Producer>,
    input: &mut BufReader<&TcpStream>,
) -> io::Result<()> {
    loop {
        let mut chunk = Chunk {
            connection: number,
            producer: Arc::clone(producer),
            frames: Vec::new(),
            is_last: false,
        };
        let mut weight = 0;
        let mut end = Ok(());
        while end.is_ok() && weight < CHUNK_BYTES {
            match read_frame(hub, input) {
                Ok(Some(frame)) => {
                    weight += frame.1.len() + FRAME_HEADER_BYTES;
                    chunk.frames.push(frame);
                }
                Ok(None) => {}
                Err(error) => end = Err(error),
            }
            if !has_frame(input.buffer()) {
                break;
            }
        }
        if !chunk.frames.is_empty() {
            producer.has_sent.store(true, Ordering::SeqCst);
            if hub.inbox.put(chunk, weight).is_err() {
                return Ok(());
            }
        }
        end?;
    }
}

/// Whether the bytes begin with a whole frame.
fn has_frame(bytes: &[u8]) -> bool {
    let length = bytes
        .first_chunk()
        .map(|length| u32::from_le_bytes(*length));
    length.is_some_and(|length| {
        usize::try_from(length)
            .is_ok_and(|length| bytes.len() - FRAME_HEADER_BYTES.min(bytes.len()) >= length)
            && bytes.len() >= FRAME_HEADER_BYTES
    })
}

/// Reads a frame; none for a sign of life.
fn read_frame(hub: &Hub, input: &mut BufReader<&TcpStream>) -> io::Result<Option<(u64, Vec<u8>)>> {
    let (length, number) = protocol::read_frame_header(input)?;
    if number == 0 && length == 0 {
        return Ok(None);
    }
    let length = length as usize;
    if number == 0 || length > hub.limits.frame_bytes {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Grows as bytes come, not by what a length says will come.
    let mut bytes = Vec::new();
    input.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((number, bytes)))
}
