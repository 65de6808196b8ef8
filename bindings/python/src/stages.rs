//! Decoding, computations, state computations and splits: loops over a batch that call Python functions.
//!
//! **Invariants.** One look for the interpreter per batch. The index of the message is noted before each call.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use wallaroo::host::{
    Failed, Input, Messages, Outputs, Splitter, Stage, StateStage, StateView, downcast,
};

use crate::awaiting::Plain;
use crate::context::Context;
use crate::failing::Policy;
use crate::keys::{describe, to_python};
use crate::message::{Message, Raw};
use crate::table::Table;

/// Objects that are made before the stages behind get them.
// So many stay in the first-level caches, and below the 700 at which the garbage collector begins to look at young objects, again
// and again as long as they live. 2,048 cost a third more, 128 and 512 the same (benches/python, 2026-11).
const PORTION: usize = 256;

/// How a record becomes an object.
pub(crate) enum Decode {
    /// Text, without a call.
    Text,
    /// Bytes, without a call.
    Bytes,
    /// A function of bytes; `None` filters the record out.
    Function(Py<PyAny>),
    /// A function of the columns of a row (a list of texts) and the names of the columns (a tuple).
    Row(Py<PyAny>),
}

/// The stage behind a source that makes objects of records.
pub(crate) struct DecodeCode {
    pub(crate) decode: Arc<Decode>,
    pub(crate) policy: Policy,
    /// Of what it makes: it is a message.
    pub(crate) plain: Plain,
    /// The names of columns as Python has them, for the columns of the last row.
    pub(crate) names: Option<(Arc<crate::message::Columns>, Py<PyTuple>)>,
    pub(crate) row: csv::StringRecord,
}

impl DecodeCode {
    fn object<'py>(&mut self, py: Python<'py>, raw: &Raw) -> PyResult<Option<Bound<'py, PyAny>>> {
        let decoded = match &*self.decode {
            Decode::Text => {
                let text = std::str::from_utf8(&raw.bytes).map_err(|error| {
                    PyValueError::new_err(format!(
                        "expected UTF-8 text, found another byte at byte {}",
                        error.valid_up_to() + 1
                    ))
                })?;
                PyString::new(py, text).into_any()
            }
            Decode::Bytes => PyBytes::new(py, &raw.bytes).into_any(),
            Decode::Function(function) => {
                function.bind(py).call1((PyBytes::new(py, &raw.bytes),))?
            }
            Decode::Row(_) => return self.row(py, raw).map(Some),
        };
        self.plain.check(&decoded, "the decoder")?;
        Ok((!decoded.is_none()).then_some(decoded))
    }

    fn row<'py>(&mut self, py: Python<'py>, raw: &Raw) -> PyResult<Bound<'py, PyAny>> {
        let Decode::Row(function) = &*self.decode else {
            unreachable!("it has been looked at");
        };
        let columns = raw
            .columns
            .as_ref()
            .ok_or_else(|| PyValueError::new_err("the row has no header"))?;
        let text = std::str::from_utf8(&raw.bytes)
            .map_err(|_| PyValueError::new_err("expected UTF-8 text"))?;
        wallaroo::host::split_csv(text, columns.delimiter, &mut self.row);
        if self.row.len() != columns.names.len() {
            return Err(PyValueError::new_err(format!(
                "the row has {} columns, the header has {}; quote columns that contain the delimiter or a line end",
                self.row.len(),
                columns.names.len()
            )));
        }
        let names = match &self.names {
            Some((known, names)) if Arc::ptr_eq(known, columns) => names.bind(py).clone(),
            _ => {
                let names = PyTuple::new(py, &columns.names)?;
                self.names = Some((Arc::clone(columns), names.clone().unbind()));
                names
            }
        };
        let fields = PyList::new(py, self.row.iter())?;
        function.bind(py).call1((fields, names))
    }
}

impl Stage for DecodeCode {
    fn data(&mut self, input: Input<'_>, outputs: &mut Outputs) -> Result<usize, Failed> {
        Python::attach(|py| {
            let soft_limit = outputs.soft_limit.min(PORTION);
            let (messages, origin) = outputs.ports[0].typed::<Vec<Message>>();
            let given = downcast::<Vec<Message>>(input.messages);
            for index in input.range.clone() {
                input.progress.set(index);
                let object = match &given[index] {
                    Message::Raw(raw) => self
                        .object(py, raw)
                        .map_err(|error| self.policy.failed(py, index, error))?,
                    Message::Object(object) => Some(object.bind(py).clone()),
                };
                if let Some(object) = object {
                    messages.push(Message::Object(object.unbind()));
                    origin.push(index as u32);
                    if messages.len() >= soft_limit {
                        return Ok(index + 1);
                    }
                }
            }
            Ok(input.range.end)
        })
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        describe(messages, index)
    }
}

/// Where a function takes the context.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContextPlace {
    /// In front of this argument; mostly behind all of them.
    Position(usize),
    /// As the keyword `ctx`.
    Keyword,
}

/// A function of the user, and how it is called.
pub(crate) struct Call {
    pub(crate) function: Py<PyAny>,
    /// Whether it returns several messages, one after another.
    pub(crate) is_many: bool,
    /// Where it takes the context, if it does.
    pub(crate) context: Option<ContextPlace>,
    /// Whether the state object is its first argument, before the message.
    pub(crate) state_first: bool,
    pub(crate) name: String,
    /// Of what it returns: it is a message.
    pub(crate) plain: Plain,
}

impl Call {
    /// Calls the function with values and the context. It stands behind the values, or is passed by name; no function of the
    /// package stands between, which the tracebacks of users would show.
    fn with_context<'py, const COUNT: usize>(
        &self,
        values: [&Bound<'py, PyAny>; COUNT],
        context: &Bound<'py, Context>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = context.py();
        let function = self.function.bind(py);
        match (self.context, values.as_slice()) {
            (Some(ContextPlace::Position(1)), [message]) => function.call1((message, context)),
            (Some(ContextPlace::Position(2)), [first, second]) => {
                function.call1((first, second, context))
            }
            (Some(ContextPlace::Position(place)), values) => {
                let mut given: Vec<&Bound<'py, PyAny>> = values.to_vec();
                given.insert(place.min(given.len()), context.as_any());
                function.call1(PyTuple::new(py, given)?)
            }
            (Some(ContextPlace::Keyword) | None, values) => {
                let by_name = PyDict::new(py);
                by_name.set_item(intern!(py, "ctx"), context)?;
                function.call(PyTuple::new(py, values)?, Some(&by_name))
            }
        }
    }
}

/// Puts out what a call emitted and returned. A function that yields runs here, so the context is closed behind it.
fn put_out(
    py: Python<'_>,
    call: &Call,
    context: Option<&Py<Context>>,
    returned: Bound<'_, PyAny>,
    state: Option<*mut pyo3::ffi::PyObject>,
    mut put: impl FnMut(Py<PyAny>),
) -> PyResult<()> {
    let refuse_own = |message: &Bound<'_, PyAny>| {
        if state == Some(message.as_ptr()) {
            return Err(PyTypeError::new_err(format!(
                "{} passes its state object on, which the next message would change; pass a copy on",
                call.name
            )));
        }
        Ok(())
    };
    let put_emitted = |put: &mut dyn FnMut(Py<PyAny>)| {
        let Some(context) = context else {
            return Ok(());
        };
        let emitted = std::mem::take(&mut context.bind(py).borrow_mut().emitted);
        for message in emitted {
            refuse_own(message.bind(py))?;
            put(message);
        }
        Ok(())
    };
    put_emitted(&mut put)?;
    if returned.is_none() {
        return Ok(());
    }
    if call.is_many {
        for message in returned.try_iter()? {
            let message = message?;
            put_emitted(&mut put)?;
            refuse_own(&message)?;
            call.plain.check(&message, &call.name)?;
            put(message.unbind());
        }
        return put_emitted(&mut put);
    }
    refuse_own(&returned)?;
    call.plain.check(&returned, &call.name)?;
    put(returned.unbind());
    Ok(())
}

/// A computation without state.
pub(crate) struct ToCode {
    pub(crate) call: Arc<Call>,
    pub(crate) policy: Policy,
    pub(crate) context: Option<Py<Context>>,
}

impl Stage for ToCode {
    fn data(&mut self, input: Input<'_>, outputs: &mut Outputs) -> Result<usize, Failed> {
        Python::attach(|py| {
            let soft_limit = outputs.soft_limit;
            let (messages, origin) = outputs.ports[0].typed::<Vec<Message>>();
            let given = downcast::<Vec<Message>>(input.messages);
            let function = self.call.function.bind(py);
            let now_ns = nanoseconds(&input);
            for index in input.range.clone() {
                input.progress.set(index);
                let message = given[index].object(py);
                let returned = match &self.context {
                    None => function.call1((message,)),
                    Some(context) => {
                        let context = context.bind(py);
                        context.borrow_mut().begin(None, now_ns, false);
                        self.call.with_context([message], context)
                    }
                };
                let put = |message| {
                    messages.push(Message::Object(message));
                    origin.push(index as u32);
                };
                let done = returned.and_then(|returned| {
                    put_out(py, &self.call, self.context.as_ref(), returned, None, put)
                });
                if let Some(context) = &self.context {
                    context.bind(py).borrow_mut().end();
                }
                done.map_err(|error| self.policy.failed(py, index, error))?;
                if messages.len() >= soft_limit {
                    return Ok(index + 1);
                }
            }
            Ok(input.range.end)
        })
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        describe(messages, index)
    }
}

fn nanoseconds(input: &Input<'_>) -> i64 {
    i64::try_from(input.now.0).unwrap_or(i64::MAX)
}

/// A state computation.
pub(crate) struct StateCode {
    pub(crate) call: Arc<Call>,
    pub(crate) policy: Policy,
    pub(crate) context: Option<Py<Context>>,
}

impl StateStage for StateCode {
    fn data(
        &mut self,
        input: Input<'_>,
        state: &mut StateView<'_>,
        outputs: &mut Outputs,
    ) -> Result<usize, Failed> {
        Python::attach(|py| {
            let soft_limit = outputs.soft_limit;
            let (messages, origin) = outputs.ports[0].typed::<Vec<Message>>();
            let given = downcast::<Vec<Message>>(input.messages);
            let function = self.call.function.bind(py);
            let now_ns = nanoseconds(&input);
            let table = state
                .objects
                .as_any_mut()
                .downcast_mut::<Table>()
                .expect("a state of Python has a table of Python");
            let must_be_storable = table.kind.must_be_storable.load(Ordering::Relaxed);
            let kind = must_be_storable.then(|| Arc::clone(&table.kind));
            for (index, slot) in input.range.clone().zip(state.slots) {
                input.progress.set(index);
                // It would be so for every message of its key: nothing that a policy could pass over.
                let refused = |name: &str, error: PyErr| {
                    let error = if error.traceback(py).is_some() {
                        error
                    } else {
                        let text =
                            format!("the state {name:?} cannot be stored: {}", error.value(py));
                        PyTypeError::new_err(text)
                    };
                    self.policy.ended(py, index, &error)
                };
                if state.preserve {
                    let saved = table.save(py, *slot);
                    saved.map_err(|error| refused(&table.kind.name, error))?;
                }
                let (object, is_new) = table
                    .object(py, *slot)
                    .map_err(|error| self.policy.failed(py, index, error))?;
                let message = given[index].object(py);
                let (first, second) = if self.call.state_first {
                    (object, message)
                } else {
                    (message, object)
                };
                let returned = match &self.context {
                    None => function.call1((first, second)),
                    Some(context) => {
                        let key = to_python(py, state.keys.key(*slot).view())
                            .map_err(|error| self.policy.failed(py, index, error))?;
                        let context = context.bind(py);
                        context.borrow_mut().begin(Some(key), now_ns, true);
                        self.call.with_context([first, second], context)
                    }
                };
                let put = |message| {
                    messages.push(Message::Object(message));
                    origin.push(index as u32);
                };
                let done = returned.and_then(|returned| {
                    let object = Some(object.as_ptr());
                    put_out(py, &self.call, self.context.as_ref(), returned, object, put)
                });
                if let Some(context) = &self.context {
                    context.bind(py).borrow_mut().end();
                }
                done.map_err(|error| self.policy.failed(py, index, error))?;
                if let Some(kind) = &kind
                    && is_new
                {
                    let written = kind.write(object, &mut Vec::new());
                    written.map_err(|error| refused(&kind.name, error))?;
                }
                if let Some(context) = &self.context
                    && context.bind(py).borrow().forget
                {
                    wallaroo::host::StateObjects::reset(table, *slot);
                    state.forgotten.push((*slot, index as u32));
                }
                if messages.len() >= soft_limit {
                    return Ok(index + 1);
                }
            }
            Ok(input.range.end)
        })
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        describe(messages, index)
    }
}

/// A `split`.
pub(crate) struct SplitCode {
    pub(crate) predicate: Arc<Call>,
    pub(crate) policy: Policy,
}

impl Splitter for SplitCode {
    fn choose(&mut self, input: Input<'_>, choices: &mut Vec<u16>) -> Result<(), Failed> {
        Python::attach(|py| {
            let given = downcast::<Vec<Message>>(input.messages);
            let function = self.predicate.function.bind(py);
            for index in input.range.clone() {
                input.progress.set(index);
                let is_first = function
                    .call1((given[index].object(py),))
                    .and_then(|chosen| {
                        self.predicate
                            .plain
                            .check(&chosen, "the function of the split")?;
                        chosen.is_truthy()
                    })
                    .map_err(|error| self.policy.failed(py, index, error))?;
                choices.push(u16::from(!is_first));
            }
            Ok(())
        })
    }

    fn describe(&self, messages: &dyn Messages, index: usize) -> Vec<u8> {
        describe(messages, index)
    }
}
