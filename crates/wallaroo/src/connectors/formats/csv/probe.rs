//! Finds out, before any row is read, whether the header has every column that a message type needs.
//!
//! First the type is asked for its fields: if the header has them all, that is the answer, and no user code
//! has run. Otherwise the missing ones may still be optional or have a default; so the type is
//! deserialized from a row made up here, and serde says which field it misses. Values are tried per
//! column from a short list until the type takes them; a type that takes none of them leaves the answer to the
//! first real row.
//!
//! **Invariants.** A probe never says that a column is missing when it is not. It ends after at most columns ×
//! candidates attempts.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use csv::StringRecord;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

/// What is known of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probed {
    /// Nothing is missing.
    Complete,
    /// This column is missing.
    Missing(&'static str),
    /// The rows will tell.
    Unknown,
}

/// Compares `columns` with what `T` needs.
pub(super) fn probe<T: DeserializeOwned>(columns: &StringRecord) -> Probed {
    let fields = match T::deserialize(FieldNames) {
        Err(ProbeError::Fields(fields)) => fields,
        Ok(_) | Err(ProbeError::Missing(_) | ProbeError::Other) => return Probed::Unknown,
    };
    if fields
        .iter()
        .all(|field| columns.iter().any(|column| column == *field))
    {
        return Probed::Complete;
    }
    // The made-up values reach user code (`deserialize_with`, `TryFrom`) that may not be ready for them.
    catch_unwind(AssertUnwindSafe(|| try_rows::<T>(columns))).unwrap_or(Probed::Unknown)
}

fn try_rows<T: DeserializeOwned>(columns: &StringRecord) -> Probed {
    let mut choices = vec![0; columns.len()];
    loop {
        let mut row = Row {
            columns,
            choices: &choices,
            next: 0,
        };
        match T::deserialize(&mut row) {
            Ok(_) => return Probed::Complete,
            Err(ProbeError::Missing(field)) => return Probed::Missing(field),
            Err(ProbeError::Fields(_)) => return Probed::Unknown,
            Err(ProbeError::Other) => {}
        }
        let Some(refused) = row.next.checked_sub(1) else {
            return Probed::Unknown;
        };
        choices[refused] += 1;
        if choices[refused] == CANDIDATES.len() {
            return Probed::Unknown;
        }
    }
}

/// Values to try, one after another: the number for number types, the text for all that read text.
const CANDIDATES: &[(u8, &str)] = &[
    (1, ""),
    (0, "0"),
    (2, "a"),
    (10, "2000-01-01"),
    (100, "2000-01-01T00:00:00Z"),
    (3, "2000-01-01T00:00:00"),
    (4, "00:00:00"),
    (5, "127.0.0.1"),
    (6, "127.0.0.1:80"),
    (7, "00000000-0000-0000-0000-000000000000"),
    (8, "true"),
    (9, "USD"),
];

#[derive(Debug)]
enum ProbeError {
    Fields(&'static [&'static str]),
    Missing(&'static str),
    Other,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a made-up row does not fit")
    }
}

impl std::error::Error for ProbeError {}

impl serde::de::Error for ProbeError {
    fn custom<M: fmt::Display>(_: M) -> Self {
        ProbeError::Other
    }

    fn missing_field(field: &'static str) -> Self {
        ProbeError::Missing(field)
    }
}

/// Takes the names of a struct's fields and gives nothing.
struct FieldNames;

impl<'de> Deserializer<'de> for FieldNames {
    type Error = ProbeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ProbeError> {
        Err(ProbeError::Other)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ProbeError> {
        Err(ProbeError::Fields(fields))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A made-up row.
struct Row<'a> {
    columns: &'a StringRecord,
    choices: &'a [usize],
    next: usize,
}

impl<'de> Deserializer<'de> for &mut Row<'_> {
    type Error = ProbeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_map(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for &mut Row<'_> {
    type Error = ProbeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ProbeError> {
        let Some(column) = self.columns.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        let name: StrDeserializer<'_, ProbeError> = column.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ProbeError> {
        // A field missing within a value is no missing column.
        seed.deserialize(Value(self.choices[self.next - 1]))
            .map_err(|_| ProbeError::Other)
    }
}

/// A made-up value: an index into [`CANDIDATES`].
struct Value(usize);

impl Value {
    fn number(&self) -> u8 {
        CANDIDATES[self.0].0
    }

    fn text(&self) -> &'static str {
        CANDIDATES[self.0].1
    }
}

macro_rules! numbers {
    ($($method:ident => $visit:ident,)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
            visitor.$visit(self.number().into())
        })+
    };
}

impl<'de> Deserializer<'de> for Value {
    type Error = ProbeError;

    numbers! {
        deserialize_i16 => visit_i16, deserialize_i32 => visit_i32, deserialize_i64 => visit_i64,
        deserialize_i128 => visit_i128, deserialize_u8 => visit_u8, deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32, deserialize_u64 => visit_u64, deserialize_u128 => visit_u128,
        deserialize_f32 => visit_f32, deserialize_f64 => visit_f64,
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_u8(self.number())
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        if self.0.is_multiple_of(2) {
            visitor.visit_str(self.text())
        } else {
            visitor.visit_u8(self.number())
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_str(self.text())
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_bytes(self.text().as_bytes())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_bool(self.0 % 2 == 1)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_char(self.text().chars().next().unwrap_or('a'))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ProbeError> {
        let variant = variants
            .get(self.0)
            .ok_or_else(|| ProbeError::custom("no further variant"))?;
        let variant: StrDeserializer<'_, ProbeError> = (*variant).into_deserializer();
        visitor.visit_enum(variant)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ProbeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { unit unit_struct seq tuple tuple_struct map struct identifier }
}
