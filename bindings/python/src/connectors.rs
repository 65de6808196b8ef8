//! Sources and sinks, made of what Python says of them.
//!
//! **Invariants.** Bytes are read, cut into records and written without Python; Python code is called for connectors that are
//! written in it, and for formats.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use wallaroo::connectors::{
    ByteSink, ByteSource, Bytes, Encoded, FrameHeader, IntoSink, MemorySink, SinkParts, Transport,
    channel, discard, file, file_sink, memory, stdout, tcp_listener, tcp_sink,
};
use wallaroo::{
    Code, ConnectorError, Decoder, Format, Intake, Position, Read, Reader, Sink, Source, Stop,
    Waker, Write, Writer,
};

use crate::awaiting::refuse_awaitable;
use crate::failing::{self, Policy, Raised};
use crate::message::{Columns, Message, Raw};

/// What Python says of something, by name.
pub(crate) struct Spec<'py>(pub(crate) Bound<'py, PyDict>);

impl<'py> Spec<'py> {
    pub(crate) fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Spec(object.cast::<PyDict>()?.clone()))
    }

    pub(crate) fn any(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let value = self.0.get_item(name)?;
        value.ok_or_else(|| PyKeyError::new_err(name.to_owned()))
    }

    pub(crate) fn text(&self, name: &str) -> PyResult<String> {
        self.any(name)?.extract()
    }

    pub(crate) fn number(&self, name: &str) -> PyResult<usize> {
        self.any(name)?.extract()
    }

    pub(crate) fn flag(&self, name: &str) -> PyResult<bool> {
        self.any(name)?.extract()
    }

    pub(crate) fn optional(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.0.get_item(name)?.filter(|value| !value.is_none()))
    }

    pub(crate) fn spec(&self, name: &str) -> PyResult<Spec<'py>> {
        Spec::of(&self.any(name)?)
    }
}

fn frame_header(spec: &Spec<'_>) -> PyResult<Option<FrameHeader>> {
    let Some(framed) = spec.optional("framed")? else {
        return Ok(None);
    };
    let (width, is_big): (usize, bool) = framed.extract()?;
    let header = match width {
        1 => FrameHeader::u8(),
        2 => FrameHeader::u16(),
        4 => FrameHeader::u32(),
        8 => FrameHeader::u64(),
        _ => {
            return Err(PyValueError::new_err(
                "a frame header has 1, 2, 4 or 8 bytes",
            ));
        }
    };
    Ok(Some(if is_big {
        header
    } else {
        header.little_endian()
    }))
}

/// Records as they are.
struct Records {
    /// Whether a record of blanks only is no record, as in files of JSON lines.
    skip_blank: bool,
}

impl Format<Message> for Records {
    fn decoder(&self) -> Box<dyn Decoder<Message>> {
        let skip_blank = self.skip_blank;
        Box::new(move |frame: &[u8]| {
            if skip_blank && frame.iter().all(u8::is_ascii_whitespace) {
                return Ok(None);
            }
            Ok(Some(Message::Raw(Raw {
                bytes: frame.into(),
                columns: None,
            })))
        })
    }
}

/// Rows of CSV under a header.
struct TableRows {
    delimiter: u8,
    has_header: bool,
    /// The columns that messages need; where there is no header all columns.
    needed: Vec<String>,
}

impl Format<Message> for TableRows {
    fn decoder(&self) -> Box<dyn Decoder<Message>> {
        let columns = (!self.has_header).then(|| {
            Arc::new(Columns {
                names: self.needed.clone(),
                delimiter: self.delimiter,
            })
        });
        Box::new(RowDecoder {
            delimiter: self.delimiter,
            needed: self.needed.clone(),
            columns,
        })
    }

    fn has_header(&self) -> bool {
        self.has_header
    }

    fn quoted_by(&self) -> Option<u8> {
        Some(self.delimiter)
    }
}

struct RowDecoder {
    delimiter: u8,
    needed: Vec<String>,
    columns: Option<Arc<Columns>>,
}

impl Decoder<Message> for RowDecoder {
    fn header(&mut self, frame: &[u8]) -> Result<(), ConnectorError> {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        let frame = frame.strip_prefix(BYTE_ORDER_MARK).unwrap_or(frame);
        let text = std::str::from_utf8(frame)
            .map_err(|_| ConnectorError::new("expected a header in UTF-8").with_code(Code::Utf8))?;
        let mut row = csv::StringRecord::new();
        wallaroo::host::split_csv(text, self.delimiter, &mut row);
        let names: Vec<String> = row.iter().map(str::to_owned).collect();
        let missing = self.needed.iter().find(|needed| !names.contains(needed));
        if let Some(column) = missing {
            return Err(ConnectorError::new(format!(
                "the header has no column {column:?}, it has {names:?}"
            ))
            .with_help("correct the header, or give the field of the message a default")
            .with_code(Code::Column));
        }
        self.columns = Some(Arc::new(Columns {
            names,
            delimiter: self.delimiter,
        }));
        Ok(())
    }

    fn decode(&mut self, frame: &[u8]) -> Result<Option<Message>, ConnectorError> {
        if frame.is_empty() {
            return Ok(None);
        }
        Ok(Some(Message::Raw(Raw {
            bytes: frame.into(),
            columns: self.columns.clone(),
        })))
    }
}

fn with_format<K: Transport>(bytes: Bytes<K>, spec: &Spec<'_>) -> PyResult<ByteSource<Message>> {
    let mut bytes = bytes;
    if let Some(header) = frame_header(spec)? {
        bytes = bytes.framed(header);
    }
    if let Some(limit) = spec.optional("max_line_bytes")? {
        bytes = bytes.max_line_bytes(limit.extract()?);
    }
    if let Some(limit) = spec.optional("max_frame_bytes")? {
        bytes = bytes.max_frame_bytes(limit.extract()?);
    }
    let format = spec.spec("format")?;
    Ok(match format.text("wire")?.as_str() {
        "csv" => bytes.format(TableRows {
            delimiter: u8::try_from(format.any("delimiter")?.extract::<char>()?)
                .map_err(|_| PyValueError::new_err("a delimiter is one ASCII character"))?,
            has_header: format.flag("header")?,
            needed: format.any("columns")?.extract()?,
        }),
        wire => bytes.format(Records {
            skip_blank: wire == "json",
        }),
    })
}

/// A source, for [`wallaroo::source`], and where it listens.
pub(crate) enum AnySource {
    Bytes(ByteSource<Message>),
    Channel(wallaroo::connectors::ChannelSource<Message>),
    Python(PythonSource),
}

/// Makes a source.
pub(crate) fn source(spec: &Spec<'_>, raised: &Raised) -> PyResult<AnySource> {
    Ok(match spec.text("type")?.as_str() {
        "file" => {
            let bytes = file(spec.text("path")?).follow(spec.flag("follow")?);
            AnySource::Bytes(with_format(bytes, spec)?)
        }
        "tcp" => {
            let mut bytes = tcp_listener(spec.text("address")?);
            if let Some(count) = spec.optional("max_connections")? {
                bytes = bytes.max_connections(count.extract()?);
            }
            AnySource::Bytes(if spec.flag("acknowledged")? {
                with_format(bytes.acknowledged(), spec)?
            } else {
                with_format(bytes, spec)?
            })
        }
        "channel" => {
            let (_, source) = channel(spec.number("capacity")?);
            AnySource::Channel(source)
        }
        _ => AnySource::Python(PythonSource {
            source: spec.any("source")?.unbind(),
            raised: raised.clone(),
        }),
    })
}

/// An exception of a connector that is written in Python. The run ends with it, so it is kept.
fn connector_error(
    py: Python<'_>,
    raised: &Raised,
    what: &str,
    code: Code,
    error: &PyErr,
) -> ConnectorError {
    raised.keep(py, error);
    failing::connector_error(py, what, code, error)
}

/// A source written in Python: see `wallaroo.Source`.
pub(crate) struct PythonSource {
    source: Py<PyAny>,
    raised: Raised,
}

impl Source<Message> for PythonSource {
    fn partitions(&mut self, _workers: usize) -> Result<Vec<String>, ConnectorError> {
        Python::attach(|py| {
            let partitions = self.source.bind(py).call_method0("partitions");
            partitions
                .and_then(|partitions| partitions.extract())
                .map_err(|error| {
                    let what = "cannot list the partitions of the source";
                    connector_error(py, &self.raised, what, Code::SourceUnreadable, &error)
                })
        })
    }

    fn open(
        &mut self,
        partition: &str,
        from: Option<&Position>,
        _waker: &Waker,
    ) -> Result<Box<dyn Reader<Message>>, ConnectorError> {
        let from: Option<String> = from.map(Position::get).transpose()?;
        Python::attach(|py| {
            let open = || {
                let from = match from {
                    None => py.None().into_bound(py),
                    Some(json) => py.import("json")?.call_method1("loads", (json,))?,
                };
                let reader = self
                    .source
                    .bind(py)
                    .call_method1("open", (partition, from))?;
                let position = position_of(&reader)?;
                Ok(PythonReader {
                    reader: reader.unbind(),
                    position,
                    raised: self.raised.clone(),
                })
            };
            let reader = open().map_err(|error: PyErr| {
                let what = "cannot open the source";
                connector_error(py, &self.raised, what, Code::SourceUnreadable, &error)
            })?;
            Ok(Box::new(reader) as Box<dyn Reader<Message>>)
        })
    }

    fn replays(&self) -> bool {
        Python::attach(|py| {
            let replays = self.source.bind(py).getattr("replays");
            replays
                .and_then(|replays| replays.extract())
                .unwrap_or(false)
        })
    }
}

/// A position of a Python reader, as JSON.
fn position_of(reader: &Bound<'_, PyAny>) -> PyResult<Position> {
    let py = reader.py();
    let position = reader.call_method0("position")?;
    let json: String = py
        .import("json")?
        .call_method1("dumps", (position,))?
        .extract()?;
    Ok(Position::of(json))
}

struct PythonReader {
    reader: Py<PyAny>,
    position: Position,
    raised: Raised,
}

/// How long a reader without news is left alone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl PythonReader {
    fn read_some(&mut self, py: Python<'_>, intake: &mut Intake<Message>) -> PyResult<Read> {
        let room = intake.room();
        let reader = self.reader.bind(py);
        let given = reader.call_method1("read", (room,))?;
        let read = if given.is_none() {
            Read::End
        } else {
            let messages: Vec<Bound<'_, PyAny>> = match given.cast::<PyList>() {
                Ok(list) => list.iter().collect(),
                Err(_) => given.try_iter()?.collect::<PyResult<_>>()?,
            };
            if messages.len() > room {
                return Err(PyValueError::new_err(format!(
                    "read({room}) of the source returned {} messages; it may return fewer, not more",
                    messages.len()
                )));
            }
            let is_idle = messages.is_empty();
            for message in messages {
                intake.push_sized(Message::Object(message.unbind()), 300);
            }
            if is_idle {
                Read::IdleFor(LOOK_AGAIN)
            } else {
                Read::More
            }
        };
        self.position = position_of(reader)?;
        Ok(read)
    }
}

impl Reader<Message> for PythonReader {
    fn read(&mut self, intake: &mut Intake<Message>) -> Result<Read, ConnectorError> {
        if intake.room() == 0 {
            return Ok(Read::More);
        }
        Python::attach(|py| {
            self.read_some(py, intake).map_err(|error| {
                let what = "cannot read the source";
                connector_error(py, &self.raised, what, Code::SourceUnreadable, &error)
            })
        })
    }

    fn position(&self) -> Position {
        self.position.clone()
    }

    fn stop(&mut self) -> Stop {
        Stop::Now
    }
}

impl Drop for PythonReader {
    fn drop(&mut self) {
        Python::attach(|py| {
            // It has given what it had; an exception of its end is told where exceptions of `__del__` are.
            let reader = self.reader.bind(py);
            if let Ok(close) = reader.getattr("close")
                && let Err(error) = close.call0()
            {
                error.write_unraisable(py, Some(reader));
            }
        });
    }
}

/// How an object becomes a row.
enum Encode {
    /// Its text and a line end.
    Text,
    /// A function of the object that returns bytes or text.
    Function(Py<PyAny>),
}

struct RowEncoder {
    encode: Encode,
    /// Whether a line end follows.
    is_line: bool,
}

impl RowEncoder {
    fn append(&self, py: Python<'_>, object: &Bound<'_, PyAny>, row: &mut Vec<u8>) -> PyResult<()> {
        match &self.encode {
            Encode::Text => match object.cast::<PyString>() {
                Ok(text) => row.extend_from_slice(text.to_str()?.as_bytes()),
                Err(_) => row.extend_from_slice(object.str()?.to_str()?.as_bytes()),
            },
            Encode::Function(function) => {
                let encoded = function.bind(py).call1((object,))?;
                if let Ok(bytes) = encoded.cast::<PyBytes>() {
                    row.extend_from_slice(bytes.as_bytes());
                } else if let Ok(text) = encoded.cast::<PyString>() {
                    row.extend_from_slice(text.to_str()?.as_bytes());
                } else {
                    refuse_awaitable(&encoded, "the encoder")?;
                    return Err(PyTypeError::new_err(format!(
                        "the encoder returned a {}; it must return bytes or str",
                        encoded.get_type().name()?
                    )));
                }
            }
        }
        if self.is_line {
            row.push(b'\n');
        }
        Ok(())
    }
}

/// Makes a sink of what Python says of it.
pub(crate) struct AnySink {
    parts: SinkParts<Message>,
}

impl IntoSink<Message> for AnySink {
    fn into_sink(self) -> SinkParts<Message> {
        self.parts
    }
}

impl IntoSink<wallaroo::DeadLetter> for AnyLetters {
    fn into_sink(self) -> SinkParts<wallaroo::DeadLetter> {
        self.parts
    }
}

/// A sink for dead letters: bytes as JSON lines, or objects.
pub(crate) struct AnyLetters {
    parts: SinkParts<wallaroo::DeadLetter>,
}

/// Keeps messages in memory for Python.
#[pyclass(module = "wallaroo._native", frozen)]
pub(crate) struct Memory {
    messages: MemorySink<Message>,
}

#[pymethods]
impl Memory {
    #[new]
    fn new() -> Self {
        Memory { messages: memory() }
    }

    /// Takes out the messages that are there.
    fn take(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let messages = self.messages.take().into_iter();
        messages
            .map(|message| message.object(py).clone().unbind())
            .collect()
    }

    fn __len__(&self) -> usize {
        self.messages.len()
    }

    /// Waits until at least `count` messages are there, or `timeout` seconds have passed.
    fn wait_for(&self, py: Python<'_>, count: usize, timeout: f64) -> PyResult<bool> {
        let timeout = Duration::try_from_secs_f64(timeout)
            .map_err(|_| PyValueError::new_err("a timeout is a number of seconds from 0 on"))?;
        Ok(py.detach(|| self.messages.wait_for(count, timeout)))
    }
}

fn bytes_sink<K: 'static>(
    sink: ByteSink<K>,
    spec: &Spec<'_>,
    policy: &Policy,
) -> PyResult<SinkParts<Message>>
where
    Encoded<ByteSink<K>, Message>: IntoSink<Message>,
{
    let format = spec.spec("format")?;
    let header = frame_header(spec)?;
    let encode = match format.optional("encode")? {
        None => Encode::Text,
        Some(function) => Encode::Function(function.unbind()),
    };
    let encoder = RowEncoder {
        encode,
        is_line: header.is_none() && format.flag("line")?,
    };
    let sink = match format.optional("header_row")? {
        Some(row) => sink.header(row.extract::<Vec<u8>>()?),
        None => sink,
    };
    let sink = match header {
        Some(header) => sink.framed(header),
        None => sink,
    };
    let policy = policy.clone();
    let encoded = sink.encode(move |message: &Message, row: &mut Vec<u8>| {
        Python::attach(|py| {
            encoder
                .append(py, message.object(py), row)
                .map_err(|error| policy.encoding_failed(py, &error).into())
        })
    });
    Ok(encoded.into_sink())
}

/// Makes a sink.
pub(crate) fn sink(name: &str, spec: &Spec<'_>, policy: &Policy) -> PyResult<AnySink> {
    let parts = match spec.text("type")?.as_str() {
        "stdout" => bytes_sink(stdout(), spec, policy)?,
        "file" => bytes_sink(file_of(spec)?, spec, policy)?,
        "tcp" => bytes_sink(tcp_of(spec)?, spec, policy)?,
        "discard" => discard().into_sink(),
        "memory" => {
            let memory = spec.any("memory")?;
            let memory = memory.cast::<Memory>()?.get();
            memory.messages.clone().into_sink()
        }
        _ => PythonSink {
            sink: spec.any("sink")?.unbind(),
            name: name.to_owned(),
            raised: policy.raised.clone(),
        }
        .into_sink(),
    };
    Ok(AnySink { parts })
}

/// Makes a sink for dead letters.
pub(crate) fn letters(name: &str, spec: &Spec<'_>, raised: &Raised) -> PyResult<AnyLetters> {
    let parts = match spec.text("type")?.as_str() {
        "stdout" => stdout().json().into_sink(),
        "file" => file_of(spec)?.json().into_sink(),
        "tcp" => tcp_of(spec)?.json().into_sink(),
        "discard" => discard().into_sink(),
        _ => PythonLetters {
            function: spec.any("letters")?.unbind(),
            sink: spec.optional("sink")?.map(|sink| PythonSink {
                sink: sink.unbind(),
                name: name.to_owned(),
                raised: raised.clone(),
            }),
            raised: raised.clone(),
        }
        .into_sink(),
    };
    Ok(AnyLetters { parts })
}

fn file_of(spec: &Spec<'_>) -> PyResult<ByteSink<wallaroo::connectors::FileOutput>> {
    let sink = file_sink(spec.text("path")?);
    Ok(sink
        .append(spec.flag("append")?)
        .visible_at_once(spec.flag("visible_at_once")?))
}

fn tcp_of(spec: &Spec<'_>) -> PyResult<ByteSink<wallaroo::connectors::TcpOutput>> {
    let sink = tcp_sink(spec.text("address")?);
    Ok(match spec.optional("give_up_after")? {
        None => sink,
        Some(seconds) => sink.give_up_after(
            Duration::try_from_secs_f64(seconds.extract()?)
                .map_err(|_| PyValueError::new_err("give_up_after is a number of seconds"))?,
        ),
    })
}

/// A sink written in Python: see `wallaroo.Sink`. It has `open()`, `write(messages)`, `flush()` and `close()`.
struct PythonSink {
    sink: Py<PyAny>,
    name: String,
    raised: Raised,
}

impl PythonSink {
    fn call(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        let returned = self.sink.bind(py).call_method0(method)?;
        refuse_awaitable(&returned, &format!("the method {method} of the sink"))
    }

    fn open(&self, py: Python<'_>) -> Result<PythonSink, ConnectorError> {
        self.call(py, "open").map_err(|error| {
            let what = "cannot open the sink";
            connector_error(py, &self.raised, what, Code::SinkOpen, &error)
        })?;
        Ok(PythonSink {
            sink: self.sink.clone_ref(py),
            name: self.name.clone(),
            raised: self.raised.clone(),
        })
    }

    fn failed(&self, py: Python<'_>, error: &PyErr) -> ConnectorError {
        let what = "cannot write to the sink";
        connector_error(py, &self.raised, what, Code::SinkWrite, error)
    }

    fn flush(&self) -> Result<Write, ConnectorError> {
        Python::attach(|py| {
            self.call(py, "flush")
                .map_err(|error| self.failed(py, &error))?;
            Ok(Write::Done)
        })
    }

    /// It has been given everything and flushed it: then an exception fails the run. Or the run has failed, or begins again: then
    /// it is told where those of `__del__` are.
    fn close(&self, is_end: bool) {
        Python::attach(|py| match self.call(py, "close") {
            Ok(()) => {}
            Err(error) if is_end => self.raised.keep_close(py, &self.name, &error),
            Err(error) => error.write_unraisable(py, Some(self.sink.bind(py))),
        });
    }
}

/// Closes its sink when it is dropped: after `Writer::end` messages that are on their way are still written.
struct PythonWriter {
    sink: PythonSink,
    /// Whether the application is ending.
    is_end: bool,
}

impl Drop for PythonWriter {
    fn drop(&mut self) {
        self.sink.close(self.is_end);
    }
}

impl Sink<Vec<Message>> for PythonSink {
    fn open(&mut self, _waker: &Waker) -> Result<Box<dyn Writer<Vec<Message>>>, ConnectorError> {
        Python::attach(|py| {
            let writer = PythonWriter {
                sink: PythonSink::open(self, py)?,
                is_end: false,
            };
            Ok(Box::new(writer) as Box<dyn Writer<Vec<Message>>>)
        })
    }
}

impl Writer<Vec<Message>> for PythonWriter {
    fn write(&mut self, messages: &mut Vec<Message>) -> Result<Write, ConnectorError> {
        Python::attach(|py| {
            let write = |messages: &mut Vec<Message>| {
                let objects = messages.iter().map(|message| message.object(py));
                let batch = PyList::new(py, objects.collect::<Vec<_>>())?;
                let written = self.sink.sink.bind(py).call_method1("write", (batch,))?;
                refuse_awaitable(&written, "the method write of the sink")?;
                messages.clear();
                Ok(Write::Done)
            };
            write(messages).map_err(|error: PyErr| self.sink.failed(py, &error))
        })
    }

    fn flush(&mut self) -> Result<Write, ConnectorError> {
        self.sink.flush()
    }

    fn end(&mut self) {
        self.is_end = true;
    }
}

/// A sink for dead letters that is written in Python: a function of the fields of a letter, and the sink behind it if it is one.
struct PythonLetters {
    function: Py<PyAny>,
    sink: Option<PythonSink>,
    raised: Raised,
}

impl Drop for PythonLettersWriter {
    fn drop(&mut self) {
        if let Some(sink) = &self.letters.sink {
            sink.close(self.is_end);
        }
    }
}

struct PythonLettersWriter {
    letters: PythonLetters,
    /// Whether the application is ending.
    is_end: bool,
}

impl Sink<Vec<wallaroo::DeadLetter>> for PythonLetters {
    fn open(
        &mut self,
        _waker: &Waker,
    ) -> Result<Box<dyn Writer<Vec<wallaroo::DeadLetter>>>, ConnectorError> {
        Python::attach(|py| {
            let sink = self.sink.as_ref().map(|sink| sink.open(py)).transpose()?;
            let letters = PythonLetters {
                function: self.function.clone_ref(py),
                sink,
                raised: self.raised.clone(),
            };
            let writer = PythonLettersWriter {
                letters,
                is_end: false,
            };
            Ok(Box::new(writer) as Box<dyn Writer<Vec<wallaroo::DeadLetter>>>)
        })
    }
}

impl Writer<Vec<wallaroo::DeadLetter>> for PythonLettersWriter {
    fn write(&mut self, letters: &mut Vec<wallaroo::DeadLetter>) -> Result<Write, ConnectorError> {
        Python::attach(|py| {
            for letter in letters.drain(..) {
                let message = PyBytes::new(py, &letter.message);
                let fields = (
                    letter.stage,
                    letter.source,
                    letter.partition,
                    letter.position,
                    letter.key,
                    message,
                    letter.error,
                );
                self.letters
                    .function
                    .bind(py)
                    .call1(fields)
                    .map_err(|error| {
                        let what = "cannot write to the sink of dead letters";
                        connector_error(py, &self.letters.raised, what, Code::SinkWrite, &error)
                    })?;
            }
            Ok(Write::Done)
        })
    }

    fn flush(&mut self) -> Result<Write, ConnectorError> {
        match &self.letters.sink {
            Some(sink) => sink.flush(),
            None => Ok(Write::Done),
        }
    }

    fn end(&mut self) {
        self.is_end = true;
    }
}
