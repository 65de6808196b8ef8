//! Sinks of bytes: standard output, a file, a connection.
//!
//! **Invariants.** The encoder is chosen once and survives [`Sink::redirect`]; where the bytes go can be
//! replaced until the sink is opened. A header is written once per file or connection, before its first row.

use std::fmt::Display;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use wallaroo_core::{ConnectorError, Encoder, Position, Publisher, Rows, Sink, Waker, Writer};

use super::claim::Claim;
use super::csv::{CsvEncoder, Preamble};
use super::encoders::{
    Content, EncoderContent, FunctionContent, JsonContent, Separated, Separator, TextContent,
};
use super::publish::FilePublisher;
use super::{Discard, Encoded, file, stream, tcp};

use crate::connectors::address::{Address, host_and_port};
use crate::connectors::formats::BoxError;
use crate::connectors::framing::FrameHeader;

/// The standard output, as a kind of sink.
#[derive(Debug)]
pub enum StdoutOutput {}

/// A file, as a kind of sink.
#[derive(Debug)]
pub enum FileOutput {}

/// A connection, as a kind of sink.
#[derive(Debug)]
pub enum TcpOutput {}

/// A sink of bytes. Choose an encoder: [`json`](ByteSink::json), [`lines`](ByteSink::lines),
/// [`csv`](ByteSink::csv) or [`encode`](ByteSink::encode).
#[derive(Debug)]
#[must_use = "a sink of bytes needs an encoder: add .json(), .lines() or .csv()"]
pub struct ByteSink<K> {
    target: Target,
    header: Option<FrameHeader>,
    preamble: Preamble,
    kind: PhantomData<fn() -> K>,
}

#[derive(Clone, Debug)]
enum Target {
    Stdout,
    File {
        path: PathBuf,
        append: bool,
        at_once: bool,
        /// Kept as long as the sink, where rows are visible at once and taken back.
        claim: Option<Arc<Claim>>,
    },
    Tcp {
        address: String,
        give_up_after: Duration,
    },
    Discard,
}

impl<K> ByteSink<K> {
    fn new(target: Target) -> Self {
        ByteSink {
            target,
            header: None,
            preamble: Preamble::default(),
            kind: PhantomData,
        }
    }
}

/// Writes to the standard output of the process, through a thread of its own.
///
/// # Example
/// ```
/// use wallaroo::connectors::{IntoSink, stdout};
///
/// let sink = stdout().json();
/// let parts = IntoSink::<u64>::into_sink(sink);
/// # drop(parts);
/// ```
pub fn stdout() -> ByteSink<StdoutOutput> {
    ByteSink::new(Target::Stdout)
}

/// Writes to a file, which is created, or emptied if it exists.
pub fn file_sink(path: impl AsRef<Path>) -> ByteSink<FileOutput> {
    ByteSink::new(Target::File {
        path: path.as_ref().to_owned(),
        append: false,
        at_once: false,
        claim: None,
    })
}

/// Writes to a TCP server at `address` (`HOST:PORT`), and connects again whenever the connection is lost.
///
/// What had been handed to the system when a connection broke is lost; a row that was cut is sent again
/// whole. While there is no connection, about 4 MiB wait and then the application does. When the application ends and the
/// server takes nothing for 30 seconds, or what [`give_up_after`](ByteSink::give_up_after) says, the sink fails (WAL-0402).
pub fn tcp_sink(address: impl Into<String>) -> ByteSink<TcpOutput> {
    ByteSink::new(Target::Tcp {
        address: address.into(),
        give_up_after: tcp::GIVE_UP_AFTER,
    })
}

impl ByteSink<TcpOutput> {
    /// How long to go on, when the application is ending, with a server that takes nothing: because it cannot be reached,
    /// or does not read. 30 seconds by default. Then the sink fails, and so the application; the error tells how many
    /// rows were not delivered. Before the end there is no limit: the application waits.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        if let Target::Tcp { give_up_after, .. } = &mut self.target {
            *give_up_after = time;
        }
        self
    }
}

impl ByteSink<FileOutput> {
    /// Whether to write behind what the file has already, instead of emptying it.
    pub fn append(mut self, append: bool) -> Self {
        if let Target::File {
            append: present, ..
        } = &mut self.target
        {
            *present = append;
        }
        self
    }

    /// Whether rows are in the file as soon as they are made, and not only when the checkpoint is committed that holds their
    /// cause. After a failure the file is cut back to the last checkpoint: who reads it meanwhile may see rows that are
    /// taken back. Without a store rows are always written at once.
    pub fn visible_at_once(mut self, visible: bool) -> Self {
        if let Target::File { at_once, .. } = &mut self.target {
            *at_once = visible;
        }
        self
    }
}

impl<K: 'static> ByteSink<K> {
    /// Each row has its length in front, instead of a line end behind it.
    pub fn framed(mut self, header: FrameHeader) -> Self {
        self.header = Some(header);
        self
    }

    /// Each message is a line of JSON.
    pub fn json<T: Serialize>(self) -> Encoded<Self, T> {
        self.content(JsonContent, Separator::LineEnd)
    }

    /// Each message is a line, as its `Display` prints it.
    pub fn lines<T: Display>(self) -> Encoded<Self, T> {
        self.content(TextContent, Separator::LineEnd)
    }

    /// Each message is a row of CSV. The first row has the names of its fields; a file that is appended to
    /// and not empty gets none.
    pub fn csv<T: Serialize>(self) -> Encoded<Self, T> {
        let separator = self.header.map_or(Separator::LineEnd, Separator::Length);
        let encoder = CsvEncoder {
            separator,
            header: Preamble::clone(&self.preamble),
        };
        Encoded::new(self, encoder)
    }

    /// Each message is what a function appends; also its line end, unless [`framed`](ByteSink::framed).
    /// `?` works with every error.
    pub fn encode<T, F>(self, encode: F) -> Encoded<Self, T>
    where
        T: 'static,
        F: Fn(&T, &mut Vec<u8>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        self.content(FunctionContent(encode), Separator::Own)
    }

    /// What is written before the first row, once per file or connection: for an encoder that needs a header. A file that is
    /// appended to and not empty gets none.
    pub fn header(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.preamble.get_or_init(|| bytes.into());
        self
    }

    /// Each message is what an encoder appends, with its length in front: four bytes, most significant
    /// first, unless [`framed`](ByteSink::framed) says otherwise.
    pub fn framed_with<T: 'static>(self, encoder: impl Encoder<T>) -> Encoded<Self, T> {
        self.content(
            EncoderContent(encoder),
            Separator::Length(FrameHeader::default()),
        )
    }

    fn content<T>(self, content: impl Content<T>, separator: Separator) -> Encoded<Self, T> {
        let separator = self.header.map_or(separator, Separator::Length);
        Encoded::new(self, Separated { content, separator })
    }
}

impl<K: 'static> Sink<Rows> for ByteSink<K> {
    fn open(&mut self, waker: &Waker) -> Result<Box<dyn Writer<Rows>>, ConnectorError> {
        let preamble = Preamble::clone(&self.preamble);
        match &self.target {
            Target::Stdout => stream::stdout(preamble, waker),
            Target::File { path, append, .. } => file::open(path, *append, preamble, waker),
            Target::Tcp {
                address,
                give_up_after,
            } => tcp::open(host_and_port(address)?, *give_up_after, preamble, waker),
            Target::Discard => Ok(Box::new(Discard)),
        }
    }

    fn publisher(&mut self) -> Result<Option<Box<dyn Publisher>>, ConnectorError> {
        let Target::File {
            path,
            append,
            at_once: false,
            ..
        } = &self.target
        else {
            return Ok(None);
        };
        let publisher = FilePublisher::open(path, *append, Preamble::clone(&self.preamble))?;
        Ok(publisher.map(|publisher| Box::new(publisher) as Box<dyn Publisher>))
    }

    fn claim(&mut self) -> Result<(), ConnectorError> {
        if let Target::File { path, claim, .. } = &mut self.target
            && claim.is_none()
        {
            *claim = Claim::on(path)?.map(Arc::new);
        }
        Ok(())
    }

    fn resume(&mut self, from: Option<&Position>) -> Result<Option<Position>, ConnectorError> {
        let Target::File { path, append, .. } = &mut self.target else {
            return Ok(from.cloned());
        };
        let length = match from {
            Some(from) => from.get()?,
            None if *append => file::length(path)?,
            None => 0,
        };
        // From now on there is a beginning that a restart keeps.
        *append = true;
        let is_regular = file::cut(path, length)?;
        Ok(is_regular.then(|| Position::of(length)))
    }

    fn address(&self) -> Option<String> {
        Some(match &self.target {
            Target::Stdout => "stdout:".to_owned(),
            Target::File { path, .. } => path.display().to_string(),
            Target::Tcp { address, .. } => format!("tcp://{address}"),
            Target::Discard => "discard:".to_owned(),
        })
    }

    fn redirect(&mut self, address: &str) -> Result<(), ConnectorError> {
        self.target = match Address::of_sink(address)? {
            Address::File(path) => {
                let (append, at_once) = match self.target {
                    Target::File {
                        append, at_once, ..
                    } => (append, at_once),
                    _ => (false, false),
                };
                Target::File {
                    path,
                    append,
                    at_once,
                    claim: None,
                }
            }
            Address::Tcp(address) => Target::Tcp {
                address,
                give_up_after: match self.target {
                    Target::Tcp { give_up_after, .. } => give_up_after,
                    Target::Stdout | Target::File { .. } | Target::Discard => tcp::GIVE_UP_AFTER,
                },
            },
            Address::Stdout => Target::Stdout,
            Address::Discard => Target::Discard,
        };
        Ok(())
    }
}
