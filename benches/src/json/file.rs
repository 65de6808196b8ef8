//! The input file.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::json::{Quote, Symbol};
use crate::workload::Keys;

/// A file of `lines` quotes, in memory where the system has such a directory; deleted when dropped.
pub(super) fn create<S: Symbol>(keys: Keys, lines: usize) -> io::Result<NamedTempFile> {
    let memory = Path::new("/dev/shm");
    let mut file = if memory.is_dir() {
        NamedTempFile::new_in(memory)?
    } else {
        NamedTempFile::new()?
    };
    let mut writer = BufWriter::with_capacity(1 << 20, &mut file);
    for (number, rank) in (0_u32..).zip(keys.ranks().take(lines)) {
        let quote = Quote {
            symbol: S::of(rank),
            price: 100.0 + f64::from(number % 10_007) / 100.0,
            qty: 1 + number % 500,
            ts: 1_700_000_000_000_000_000 + u64::from(number),
        };
        serde_json::to_writer(&mut writer, &quote)?;
        writer.write_all(b"\n")?;
    }
    writer.flush()?;
    drop(writer);
    Ok(file)
}
