//! Rows of COPY in text format. The first byte is the number of columns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgoutput::{Cell, CopyRow};

fuzz_target!(|bytes: &[u8]| {
    let Some((columns, line)) = bytes.split_first() else {
        return;
    };
    let mut copy = CopyRow::new();
    let Ok(row) = copy.decode(line, u16::from(*columns)) else {
        return;
    };
    let size = |cell: Cell<'_>| match cell {
        Cell::Null => 0,
        Cell::Text(text) => text.len(),
        Cell::Unchanged | Cell::Binary(_) => unreachable!("COPY in text format has neither"),
    };
    let sizes: Vec<usize> = row.cells().map(size).collect();
    assert_eq!(sizes.len(), usize::from(*columns));
    assert!(sizes.iter().sum::<usize>() <= line.len());
});
