//! Reads the golden bytes: `testdata/pgNN/NAME.hex`, one message a line.

#![expect(clippy::disallowed_methods, reason = "golden bytes are files")]

use std::fs;
use std::path::{Path, PathBuf};

/// One golden file.
pub(crate) struct Golden {
    /// `pg15/identity.hex`, under `testdata`.
    pub(crate) path: PathBuf,
    /// The messages, in order.
    pub(crate) messages: Vec<Vec<u8>>,
}

impl Golden {
    /// The scenario's name: `identity`.
    pub(crate) fn scenario(&self) -> &str {
        self.path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name")
    }
}

/// All of one major's files.
pub(crate) fn golden(major: u32) -> Vec<Golden> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/pg{major}"));
    let mut paths: Vec<PathBuf> = fs::read_dir(&directory)
        .expect("captured by cargo xtask capture")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("readable");
        Golden {
            messages: text.lines().map(bytes).collect(),
            path,
        }
    };
    paths.into_iter().map(read).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit");
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0]) << 4 | digit(pair[1])).expect("a byte");
    digits.as_bytes().chunks_exact(2).map(byte).collect()
}
