//! A file that cannot be written any further.

use std::io;

use super::*;
use crate::connectors::testing::refusal;

/// Takes a number of bytes, then fails; remembers how often it was tried.
struct Full {
    room: usize,
    tries: usize,
}

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tries += 1;
        if self.room == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let count = bytes.len().min(self.room);
        self.room -= count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Durable for Full {
    fn sync(&self) -> io::Result<u64> {
        Ok(0)
    }
}

#[test]
fn after_a_failed_write_nothing_more_is_tried() {
    let file = Full { room: 5, tries: 0 };
    let mut writer = FileWriter {
        path: "out".into(),
        file,
        buffer: Vec::new(),
        preamble: None,
        failed: None,
    };
    let mut rows = Rows::default();
    rows.push(b"a row\n");
    assert_eq!(writer.write(&mut rows).unwrap(), Write::Done);
    let expected = (
        Code::SinkWrite,
        "cannot write the file \"out\": no space left on the device; its last row may be cut; make room or correct the \
         cause, and start again"
            .to_owned(),
    );
    assert_eq!(refusal(writer.flush()), expected);
    let tries = writer.file.tries;
    writer.file.room = 100;
    rows.push(b"another\n");
    writer.write(&mut rows).unwrap();
    assert_eq!(refusal(writer.flush()), expected);
    assert_eq!(refusal(writer.flush()), expected);
    assert_eq!(writer.file.tries, tries);
}
