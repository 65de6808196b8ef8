//! Sources of bytes: a transport (file, TCP), a framing and a format.
//!
//! [`file`] and [`tcp_listener`](super::tcp_listener) give a [`Bytes`]; its methods set options, and the
//! format makes a [`ByteSource`] of it.
//!
//! **Invariants.** The format is chosen once and survives [`Source::redirect`]; the transport can be
//! replaced until the partitions have been listed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use wallaroo_core::{Code, ConnectorError, Decoder, Format, Position, Reader, Source, Waker};

use super::acknowledged::AckInput;
use super::address::Address;
use super::formats::{BoxError, ByFunction, Csv, Decoders, Json, Text};
use super::framing::{FrameHeader, Framing, MAX_FRAME_BYTES, MAX_LINE_BYTES, Unit};
use super::tcp::{ListenerHandle, TcpInput, TcpReader};

mod file;
mod position;
mod records;
#[cfg(test)]
mod tests;
mod window;

use file::FileReader;
pub(super) use position::Place;
pub(super) use records::Records;

/// Where bytes come from.
pub trait Transport: Sized {
    /// As one of the kinds there are.
    #[doc(hidden)]
    fn into_input(self) -> Input;
}

/// The kinds of transport; not for use outside.
#[doc(hidden)]
#[derive(Debug)]
pub enum Input {
    /// A file.
    File(FileInput),
    /// Connections.
    Tcp(TcpInput),
    /// Connections whose senders are told what is durable.
    Acknowledged(AckInput),
}

/// A file to read.
#[derive(Clone, Debug)]
pub struct FileInput {
    path: PathBuf,
    follow: bool,
}

impl Transport for FileInput {
    fn into_input(self) -> Input {
        Input::File(self)
    }
}

impl Transport for TcpInput {
    fn into_input(self) -> Input {
        Input::Tcp(self)
    }
}

/// Reads a file: one partition, in order, from its start.
///
/// The file is read where it is; positions in it can be continued.
///
/// # Example
/// ```
/// use serde::Deserialize;
/// use wallaroo::connectors::file;
///
/// #[derive(Deserialize)]
/// struct Tick { symbol: String, close: f64 }
///
/// let ticks = file("ticks.csv").csv::<Tick>();
/// let lines = file("server.log").follow(true).lines();
/// # drop((ticks, lines));
/// ```
pub fn file(path: impl AsRef<Path>) -> Bytes<FileInput> {
    Bytes::new(FileInput {
        path: path.as_ref().to_owned(),
        follow: false,
    })
}

/// A source of bytes that has no format yet. Choose one: [`lines`](Bytes::lines), [`json`](Bytes::json),
/// [`csv`](Bytes::csv), [`decode`](Bytes::decode) or [`format`](Bytes::format).
#[derive(Debug)]
#[must_use = "a source of bytes needs a format: add .lines(), .json(), .csv() or .decode(…)"]
pub struct Bytes<K> {
    pub(super) transport: K,
    header: Option<FrameHeader>,
    max_line_bytes: usize,
    max_frame_bytes: usize,
}

impl<K> Bytes<K> {
    pub(super) fn new(transport: K) -> Self {
        Bytes {
            transport,
            header: None,
            max_line_bytes: MAX_LINE_BYTES,
            max_frame_bytes: MAX_FRAME_BYTES,
        }
    }
}

impl<K> Bytes<K> {
    pub(super) fn with_transport<L>(self, change: impl FnOnce(K) -> L) -> Bytes<L> {
        Bytes {
            transport: change(self.transport),
            header: self.header,
            max_line_bytes: self.max_line_bytes,
            max_frame_bytes: self.max_frame_bytes,
        }
    }
}

impl Bytes<FileInput> {
    /// Whether to go on at the end of the file when it grows, like `tail -f`. Off by default.
    ///
    /// The file is looked at every 50 ms. A last line without line end waits for it. A file that gets
    /// shorter is an error; a file that is moved away and made anew is not noticed.
    pub fn follow(mut self, follow: bool) -> Self {
        self.transport.follow = follow;
        self
    }
}

impl<K: Transport> Bytes<K> {
    /// Each record has its length in front, instead of ending with its line.
    pub fn framed(mut self, header: FrameHeader) -> Self {
        self.header = Some(header);
        self
    }

    /// The longest line (for CSV: row) that is taken, in bytes; 1 MiB by default. A longer one is rejected as
    /// one record.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// The longest record of a [`framed`](Bytes::framed) source, in bytes; 16 MiB by default. Behind a longer
    /// one nothing can be read: it ends its connection, or fails its file.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// Each record is a `String`: strict UTF-8, without its line end.
    pub fn lines(self) -> ByteSource<String> {
        self.format(Text)
    }

    /// Each record is a JSON value: JSON lines, unless [`framed`](Bytes::framed).
    pub fn json<T: DeserializeOwned + Send + 'static>(self) -> ByteSource<T> {
        self.format(Json::new())
    }

    /// Each record is a row of CSV under a header. See [`Csv`] for the options.
    pub fn csv<T: DeserializeOwned + Send + 'static>(self) -> ByteSource<T> {
        self.format(Csv::new())
    }

    /// Each record is decoded by a function; `None` filters it out. `?` works with every error.
    ///
    /// # Example
    /// ```
    /// use wallaroo::connectors::file;
    ///
    /// let numbers = file("numbers.txt").decode(|line| Ok(Some(std::str::from_utf8(line)?.parse::<u64>()?)));
    /// # drop(numbers);
    /// ```
    pub fn decode<T, F>(self, decode: F) -> ByteSource<T>
    where
        T: Send + 'static,
        F: Fn(&[u8]) -> Result<Option<T>, BoxError> + Send + Sync + 'static,
    {
        let decode = Arc::new(decode);
        self.decode_with(move || ByFunction(Arc::clone(&decode)))
    }

    /// Each record is decoded by a decoder, of which `make` makes one per file or connection.
    pub fn decode_with<T, D, F>(self, make: F) -> ByteSource<T>
    where
        T: Send + 'static,
        D: Decoder<T> + 'static,
        F: Fn() -> D + Send + Sync + 'static,
    {
        self.format(Decoders::new(make))
    }

    /// Each record is decoded by a format: [`Csv`], [`Json`], [`Text`] or one of your own.
    pub fn format<T: Send + 'static>(self, format: impl Format<T>) -> ByteSource<T> {
        let quoted = |delimiter| Unit::Quoted { delimiter };
        let lines = format.quoted_by().map_or(Unit::Lines, quoted);
        let input = self.transport.into_input();
        ByteSource {
            listener: match &input {
                Input::Tcp(tcp) => tcp.handle(),
                Input::Acknowledged(input) => input.tcp.handle(),
                Input::File(_) => ListenerHandle::default(),
            },
            input,
            framing: Framing {
                unit: self.header.map_or(lines, Unit::Lengths),
                max_line_bytes: self.max_line_bytes,
                max_frame_bytes: self.max_frame_bytes,
            },
            format: Arc::new(format),
        }
    }
}

/// A source of messages that arrive as bytes.
pub struct ByteSource<T> {
    input: Input,
    framing: Framing,
    format: Arc<dyn Format<T>>,
    listener: ListenerHandle,
}

impl<T> ByteSource<T> {
    /// Tells the address that is listened on, also after the source has been handed over, and after
    /// `--in NAME=ADDRESS`. Useful with port 0.
    #[must_use]
    pub fn listener(&self) -> ListenerHandle {
        self.listener.clone()
    }
}

impl<T> fmt::Debug for ByteSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteSource")
            .field("input", &self.input)
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Source<T> for ByteSource<T> {
    fn partitions(&mut self, workers: usize) -> Result<Vec<String>, ConnectorError> {
        match &mut self.input {
            Input::File(input) => file::check(&input.path).map(|name| vec![name]),
            Input::Tcp(input) => input.partitions(workers),
            Input::Acknowledged(input) => input.partitions(),
        }
    }

    fn open(
        &mut self,
        partition: &str,
        from: Option<&Position>,
        waker: &Waker,
    ) -> Result<Box<dyn Reader<T>>, ConnectorError> {
        if let Input::Acknowledged(input) = &mut self.input {
            let format = Arc::clone(&self.format);
            return Ok(Box::new(input.open(
                format,
                self.framing.max_frame_bytes,
                waker,
            )?));
        }
        let place = from.map(Position::get::<Place>).transpose()?;
        match &mut self.input {
            Input::File(input) => {
                let records = Records::new(self.format.as_ref());
                Ok(Box::new(FileReader::open(
                    &input.path,
                    input.follow,
                    self.framing,
                    records,
                    place,
                )?))
            }
            Input::Acknowledged(_) => unreachable!("it has been opened above"),
            Input::Tcp(input) => {
                let connections = input.open(partition, self.framing, waker)?;
                Ok(Box::new(TcpReader::new(
                    connections,
                    Arc::clone(&self.format),
                    place,
                )))
            }
        }
    }

    fn replays(&self) -> bool {
        matches!(self.input, Input::File(_))
    }

    fn address(&self) -> Option<String> {
        Some(match &self.input {
            Input::File(input) => input.path.display().to_string(),
            Input::Tcp(input) => input.url(),
            Input::Acknowledged(input) => input.tcp.url(),
        })
    }

    fn redirect(&mut self, address: &str) -> Result<(), ConnectorError> {
        self.input = match Address::of_source(address)? {
            Address::File(path) => {
                let follow = matches!(&self.input, Input::File(file) if file.follow);
                Input::File(FileInput { path, follow })
            }
            Address::Tcp(address) => {
                let tcp = TcpInput::new(&address).with_handle(self.listener.clone());
                match &self.input {
                    Input::Acknowledged(input) => Input::Acknowledged(input.at(tcp)),
                    Input::File(_) | Input::Tcp(_) => Input::Tcp(tcp),
                }
            }
            Address::Stdout | Address::Discard => {
                return Err(ConnectorError::new(format!("cannot read from {address:?}"))
                    .with_code(Code::Scheme));
            }
        };
        Ok(())
    }
}
