//! The version of the format of an object in JSON, which is looked at before all its other fields.

use serde::Deserialize;

use crate::error::StoreError;

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Checks that an object has a format from 1 to `supported`: the fields of a later one may differ.
///
/// # Errors
/// When it has another, or cannot be understood.
pub(crate) fn check(
    object: &str,
    place: &str,
    bytes: &[u8],
    supported: u32,
) -> Result<(), StoreError> {
    let damaged = |what| StoreError::Corrupt {
        object: object.to_owned(),
        place: place.to_owned(),
        what,
    };
    let found: Format = serde_json::from_slice(bytes)
        .map_err(|error| damaged(format!("it cannot be understood: {error}")))?;
    match found.format {
        0 => Err(damaged(
            "its format is 0, and the first one is 1".to_owned(),
        )),
        format if format > supported => Err(StoreError::TooNew {
            object: object.to_owned(),
            place: place.to_owned(),
            what: "format",
            found: format.to_string(),
            supported: supported.to_string(),
        }),
        _ => Ok(()),
    }
}
