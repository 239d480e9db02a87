//! The columns of a table as its rows have them in JSON, and what stands where a value is not in the
//! log.

use std::hash::{DefaultHasher, Hasher as _};

use super::members::members;

/// Names and placeholders, in the order of the rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    /// In its quotes.
    name: Vec<u8>,
    /// What stands for an unchanged value that is not in the log.
    placeholder: Option<Vec<u8>>,
}

/// A row: of each column a hash, and none where its value is not known.
pub(super) type Row = Vec<Option<u64>>;

impl Columns {
    /// Of a row, and of the same one as it is written when everything but its key is not in the log.
    pub(super) fn of(row: &[u8], unavailable: &[u8]) -> Option<Self> {
        let mut columns = Vec::new();
        members(row, |name, value| columns.push((name, value)))?;
        let mut marks = Vec::new();
        members(unavailable, |_, value| marks.push(value))?;
        let columns = columns
            .iter()
            .zip(&marks)
            .map(|((name, value), mark)| Column {
                name: name.to_vec(),
                // A key, a mask, or a type that has no room for a placeholder.
                placeholder: (value != mark && *mark != b"null").then(|| mark.to_vec()),
            });
        Some(Self {
            columns: columns.collect(),
        })
    }

    /// Reads a row; `left_out` names, as a JSON array, columns that stand as null though they are not.
    pub(super) fn read(&self, row: &[u8], left_out: Option<&[u8]>, out: &mut Row) -> Option<()> {
        out.clear();
        out.resize(self.columns.len(), None);
        let mut next = 0;
        members(row, |name, value| {
            let Some(at) = self.find(name, next) else {
                // A column that is gone.
                return;
            };
            next = at + 1;
            let (Some(column), Some(hash)) = (self.columns.get(at), out.get_mut(at)) else {
                return;
            };
            let known = column.placeholder.as_deref() != Some(value)
                && !left_out.is_some_and(|names| is_named(names, name));
            *hash = known.then(|| of_value(value));
        })
    }

    /// Rows have their columns in one order, but for those that were made before a change of it.
    fn find(&self, name: &[u8], next: usize) -> Option<usize> {
        let is = |column: &Column| column.name == name;
        match self.columns.get(next) {
            Some(column) if is(column) => Some(next),
            _ => self.columns.iter().position(is),
        }
    }
}

/// One number for the columns that `mask` has, which are known in the row.
pub(super) fn checksum(row: &Row, mask: &[u64]) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    for (at, hash) in row.iter().enumerate() {
        if is_set(mask, at) {
            hasher.write_usize(at);
            hasher.write_u64((*hash)?);
        }
    }
    Some(hasher.finish())
}

/// The columns that are known in a row, a bit each.
pub(super) fn mask(row: &Row, out: &mut Vec<u64>) {
    out.clear();
    out.resize(row.len().div_ceil(64), 0);
    for (at, hash) in row.iter().enumerate() {
        if let (Some(_), Some(word)) = (hash, out.get_mut(at / 64)) {
            *word |= 1 << (at % 64);
        }
    }
}

fn is_set(mask: &[u64], at: usize) -> bool {
    mask.get(at / 64)
        .is_some_and(|word| word >> (at % 64) & 1 == 1)
}

/// The name is looked for in its quotes, so no part of another is taken for it.
fn is_named(names: &[u8], name: &[u8]) -> bool {
    memchr::memmem::find(names, name).is_some()
}

fn of_value(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(value);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let row = br#"{"id":1,"name":"Ada","tags":["a"],"n":5,"m":"***"}"#;
        let unavailable = br#"{"id":1,"name":"__gone","tags":["__gone"],"n":null,"m":"***"}"#;
        Columns::of(row, unavailable).unwrap()
    }

    fn read(row: &str, left_out: Option<&str>) -> (Row, Vec<u64>) {
        let (mut out, mut bits) = (Row::new(), Vec::new());
        let read = columns().read(row.as_bytes(), left_out.map(str::as_bytes), &mut out);
        assert_eq!(read, Some(()), "{row}");
        mask(&out, &mut bits);
        (out, bits)
    }

    #[test]
    fn values_that_are_not_in_the_log_are_not_known() {
        let (whole, all) = read(
            r#"{"id":1,"name":"Ada","tags":["a"],"n":5,"m":"***"}"#,
            None,
        );
        assert_eq!(all, [0b11111]);
        let (gone, some) = read(
            r#"{"id":1,"name":"__gone","tags":["__gone"],"n":null,"m":"***"}"#,
            Some(r#"["n"]"#),
        );
        assert_eq!(some, [0b10001]);
        assert_eq!(checksum(&whole, &some), checksum(&gone, &some));
        assert_eq!(checksum(&gone, &all), None);
        let (null, bits) = read(
            r#"{"id":1,"name":"Ada","tags":["a"],"n":null,"m":"***"}"#,
            None,
        );
        assert_eq!(bits, all, "a null is a value");
        assert_ne!(checksum(&null, &all), checksum(&whole, &all));
    }

    #[test]
    fn columns_of_before_and_after_a_change_are_told_by_name() {
        let (row, bits) = read(r#"{"n":5,"old":7,"id":1}"#, None);
        assert_eq!(bits, [0b01001]);
        let (whole, _) = read(
            r#"{"id":1,"name":"Ada","tags":["a"],"n":5,"m":"***"}"#,
            None,
        );
        assert_eq!(checksum(&row, &bits), checksum(&whole, &bits));
    }

    #[test]
    fn values_do_not_change_places() {
        let (one, bits) = read(r#"{"id":1,"name":2}"#, None);
        let (other, _) = read(r#"{"id":2,"name":1}"#, None);
        assert_ne!(checksum(&one, &bits), checksum(&other, &bits));
    }
}
