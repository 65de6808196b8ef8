//! Names of objects, and the errors about them.
//!
//! **Invariants.** A name that was checked leads to no place outside the store, whatever the store is.

use super::{ErrorKind, StorageError};

/// Refuses a name that is not of the allowed form.
pub(crate) fn check(action: &'static str, name: &str, place: &str) -> Result<(), StorageError> {
    let part_is_good = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if name.split('/').all(part_is_good) {
        return Ok(());
    }
    Err(StorageError {
        action,
        name: name.to_owned(),
        place: place.to_owned(),
        cause: "a name must be of ASCII letters, digits, '-', '_' and '.', in parts divided by '/'"
            .to_owned(),
        kind: ErrorKind::Broken,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "", "/a", "a/", "a//b", "..", "a/../b", "./a", "a b", "a#1", "ä",
        ] {
            assert!(check("read", name, "here").is_err(), "{name:?}");
        }
        for name in [
            "floor",
            "log/00000000000000000001",
            "data/1-2-ab.seg",
            "a/..b",
        ] {
            assert!(check("read", name, "here").is_ok(), "{name:?}");
        }
    }
}
