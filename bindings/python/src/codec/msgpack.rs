//! The pieces of msgpack, read one by one.
//!
//! **Invariants.** Nothing is taken that is not there: every length is compared with what is left.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rmp::Marker;

pub(super) fn malformed(what: &str) -> PyErr {
    PyValueError::new_err(format!("the stored value is malformed: {what}"))
}

pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> PyResult<&'a [u8]> {
    let (taken, rest) = bytes
        .split_at_checked(len)
        .ok_or_else(|| malformed("it ends too early"))?;
    *bytes = rest;
    Ok(taken)
}

fn number<const LEN: usize>(bytes: &mut &[u8]) -> PyResult<[u8; LEN]> {
    let taken = take(bytes, LEN)?;
    taken.try_into().map_err(|_| malformed("it ends too early"))
}

pub(super) fn text_of(bytes: &[u8]) -> PyResult<&str> {
    std::str::from_utf8(bytes).map_err(|_| malformed("text that is not UTF-8"))
}

/// What comes next, with the length of what follows.
pub(super) enum Head {
    Nil,
    Bool(bool),
    Int(i64),
    UnsignedInt(u64),
    Float(f64),
    Text(usize),
    Binary(usize),
    Array(usize),
    Map(usize),
    Ext(usize, i8),
}

pub(super) fn head(bytes: &mut &[u8]) -> PyResult<Head> {
    let marker = Marker::from_u8(number::<1>(bytes)?[0]);
    let one = |bytes: &mut &[u8]| Ok::<usize, PyErr>(usize::from(number::<1>(bytes)?[0]));
    let two = |bytes: &mut &[u8]| Ok::<usize, PyErr>(u16::from_be_bytes(number(bytes)?).into());
    let four = |bytes: &mut &[u8]| {
        let len = u32::from_be_bytes(number(bytes)?);
        usize::try_from(len).map_err(|_| malformed("a length"))
    };
    Ok(match marker {
        Marker::Null => Head::Nil,
        Marker::True => Head::Bool(true),
        Marker::False => Head::Bool(false),
        Marker::FixPos(value) => Head::Int(value.into()),
        Marker::FixNeg(value) => Head::Int(value.into()),
        Marker::I8 => Head::Int(i8::from_be_bytes(number(bytes)?).into()),
        Marker::I16 => Head::Int(i16::from_be_bytes(number(bytes)?).into()),
        Marker::I32 => Head::Int(i32::from_be_bytes(number(bytes)?).into()),
        Marker::I64 => Head::Int(i64::from_be_bytes(number(bytes)?)),
        Marker::U8 => Head::Int(u8::from_be_bytes(number(bytes)?).into()),
        Marker::U16 => Head::Int(u16::from_be_bytes(number(bytes)?).into()),
        Marker::U32 => Head::Int(u32::from_be_bytes(number(bytes)?).into()),
        Marker::U64 => Head::UnsignedInt(u64::from_be_bytes(number(bytes)?)),
        Marker::F32 => Head::Float(f32::from_be_bytes(number(bytes)?).into()),
        Marker::F64 => Head::Float(f64::from_be_bytes(number(bytes)?)),
        Marker::FixStr(len) => Head::Text(len.into()),
        Marker::Str8 => Head::Text(one(bytes)?),
        Marker::Str16 => Head::Text(two(bytes)?),
        Marker::Str32 => Head::Text(four(bytes)?),
        Marker::Bin8 => Head::Binary(one(bytes)?),
        Marker::Bin16 => Head::Binary(two(bytes)?),
        Marker::Bin32 => Head::Binary(four(bytes)?),
        Marker::FixArray(len) => Head::Array(len.into()),
        Marker::Array16 => Head::Array(two(bytes)?),
        Marker::Array32 => Head::Array(four(bytes)?),
        Marker::FixMap(len) => Head::Map(len.into()),
        Marker::Map16 => Head::Map(two(bytes)?),
        Marker::Map32 => Head::Map(four(bytes)?),
        Marker::FixExt1 => extension(bytes, 1)?,
        Marker::FixExt2 => extension(bytes, 2)?,
        Marker::FixExt4 => extension(bytes, 4)?,
        Marker::FixExt8 => extension(bytes, 8)?,
        Marker::FixExt16 => extension(bytes, 16)?,
        Marker::Ext8 => {
            let len = one(bytes)?;
            extension(bytes, len)?
        }
        Marker::Ext16 => {
            let len = two(bytes)?;
            extension(bytes, len)?
        }
        Marker::Ext32 => {
            let len = four(bytes)?;
            extension(bytes, len)?
        }
        Marker::Reserved => return Err(malformed("a reserved byte")),
    })
}

fn extension(bytes: &mut &[u8], len: usize) -> PyResult<Head> {
    Ok(Head::Ext(len, i8::from_be_bytes(number(bytes)?)))
}

/// The number of items of an array that must come next.
pub(super) fn array(bytes: &mut &[u8]) -> PyResult<usize> {
    match head(bytes)? {
        Head::Array(len) => Ok(len),
        _ => Err(malformed("expected an array")),
    }
}

pub(super) fn text<'a>(bytes: &mut &'a [u8]) -> PyResult<&'a str> {
    match head(bytes)? {
        Head::Text(len) => text_of(take(bytes, len)?),
        _ => Err(malformed("expected text")),
    }
}
