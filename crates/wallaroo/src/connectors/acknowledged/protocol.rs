//! The bytes of the protocol with acknowledgements: docs/protocols.md.
//!
//! **Invariants.** Integers are little-endian. A length is compared with its limit before anything is reserved for it.

use std::io::{self, Read, Write};

pub(super) const CLIENT_MAGIC: &[u8; 8] = b"WALACKC\n";
pub(super) const SERVER_MAGIC: &[u8; 8] = b"WALACKS\n";
pub(super) const VERSION: u16 = 1;
pub(super) const MAX_NAME_BYTES: usize = 64;
/// Length and number in front of a frame.
pub(super) const FRAME_HEADER_BYTES: usize = 12;

/// What a server answers a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Welcome = 0,
    Version = 1,
    Name = 2,
    TooMany = 3,
    Stopping = 4,
}

impl Status {
    pub(super) const ALL: [Status; 5] = [
        Status::Welcome,
        Status::Version,
        Status::Name,
        Status::TooMany,
        Status::Stopping,
    ];
}

/// The answer to a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) max_frame_bytes: u32,
    pub(super) durable: u64,
}

pub(super) fn write_hello(name: &[u8], to: &mut impl Write) -> io::Result<()> {
    let mut bytes = CLIENT_MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    let length = u16::try_from(name.len()).map_err(io::Error::other)?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(name);
    to.write_all(&bytes)
}

/// Reads a hello: the name, or why it is refused. An error if the other side speaks something else.
pub(super) fn read_hello(from: &mut impl Read) -> io::Result<Result<Vec<u8>, Status>> {
    if read::<8>(from)? != *CLIENT_MAGIC {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if u16::from_le_bytes(read(from)?) != VERSION {
        return Ok(Err(Status::Version));
    }
    let length = usize::from(u16::from_le_bytes(read(from)?));
    if length == 0 || length > MAX_NAME_BYTES {
        return Ok(Err(Status::Name));
    }
    let mut name = vec![0; length];
    from.read_exact(&mut name)?;
    Ok(Ok(name))
}

pub(super) fn write_answer(answer: Answer, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = SERVER_MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(answer.status as u16).to_le_bytes());
    bytes.extend_from_slice(&answer.max_frame_bytes.to_le_bytes());
    bytes.extend_from_slice(&answer.durable.to_le_bytes());
    to.write_all(&bytes)
}

pub(super) fn read_answer(from: &mut impl Read) -> io::Result<Answer> {
    if read::<8>(from)? != *SERVER_MAGIC {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let _version = u16::from_le_bytes(read(from)?);
    let status = usize::from(u16::from_le_bytes(read(from)?));
    Ok(Answer {
        status: *Status::ALL.get(status).ok_or(io::ErrorKind::InvalidData)?,
        max_frame_bytes: u32::from_le_bytes(read(from)?),
        durable: u64::from_le_bytes(read(from)?),
    })
}

/// The length and the number of the next frame.
pub(super) fn read_frame_header(from: &mut impl Read) -> io::Result<(u32, u64)> {
    Ok((
        u32::from_le_bytes(read(from)?),
        u64::from_le_bytes(read(from)?),
    ))
}

pub(super) fn write_frame(number: u64, bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&number.to_le_bytes())?;
    to.write_all(bytes)
}

pub(super) fn read<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Bytes behind a right beginning, so that more than the first comparison is tried.
    fn begun(magic: &'static [u8; 8]) -> impl Strategy<Value = Vec<u8>> {
        (any::<bool>(), vec(any::<u8>(), 0..120)).prop_map(move |(is_begun, rest)| {
            let magic = if is_begun { magic.as_slice() } else { &[] };
            [magic, &rest].concat()
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic_or_reserve(client in begun(CLIENT_MAGIC), server in begun(SERVER_MAGIC)) {
            if let Ok(Ok(name)) = read_hello(&mut client.as_slice()) {
                prop_assert!((1..=MAX_NAME_BYTES).contains(&name.len()) && name.capacity() <= MAX_NAME_BYTES);
            }
            let _ = read_answer(&mut server.as_slice());
            let _ = read_frame_header(&mut client.as_slice());
        }

        #[test]
        fn a_hello_of_any_length_is_read_or_refused(name in vec(any::<u8>(), 0..200), cut in 0_usize..4) {
            let mut bytes = Vec::new();
            write_hello(&name, &mut bytes)?;
            let whole = bytes.len();
            bytes.truncate(whole - cut.min(name.len()));
            let expected = match name.len() {
                1..=MAX_NAME_BYTES if bytes.len() < whole => None,
                1..=MAX_NAME_BYTES => Some(Ok(name)),
                _ => Some(Err(Status::Name)),
            };
            prop_assert_eq!(read_hello(&mut bytes.as_slice()).ok(), expected);
        }

        #[test]
        fn an_answer_and_a_frame_come_back(status in 0_usize..5, max_frame_bytes: u32, durable: u64, frame in vec(any::<u8>(), 0..50)) {
            let answer = Answer { status: Status::ALL[status], max_frame_bytes, durable };
            let mut bytes = Vec::new();
            write_answer(answer, &mut bytes)?;
            prop_assert_eq!(read_answer(&mut bytes.as_slice())?, answer);
            prop_assert!(read_answer(&mut &bytes[..bytes.len() - 1]).is_err());
            bytes.clear();
            write_frame(durable, &frame, &mut bytes)?;
            let mut rest = bytes.as_slice();
            let (length, number) = read_frame_header(&mut rest)?;
            prop_assert_eq!((length as usize, number, rest), (frame.len(), durable, frame.as_slice()));
        }
    }
}
