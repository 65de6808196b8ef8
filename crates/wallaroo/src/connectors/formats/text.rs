//! Records that are text.
//!
//! **Invariants.** Text is strict UTF-8; nothing is replaced.

use wallaroo_core::{ConnectorError, Decoder, Format};

use super::not_utf8;

/// Each record is a `String`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

impl Format<String> for Text {
    fn decoder(&self) -> Box<dyn Decoder<String>> {
        Box::new(Text)
    }
}

impl Decoder<String> for Text {
    fn decode(&mut self, frame: &[u8]) -> Result<Option<String>, ConnectorError> {
        std::str::from_utf8(frame)
            .map(|text| Some(text.to_owned()))
            .map_err(not_utf8)
    }
}
