//! What a user may choose about flat rows (Debezium manual, "New Record State Extraction").

use super::changes::Changes;
use crate::options::DeleteTombstoneHandling;

/// Events are flat rows: the row itself in place of the envelope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unwrap {
    /// `delete.tombstone.handling.mode`.
    pub deletes: DeleteTombstoneHandling,
    /// `add.fields`, behind the row's own columns.
    pub fields: Vec<AddedField>,
    /// `add.headers`.
    pub headers: Vec<AddedField>,
    /// What is said of changed and unchanged columns.
    pub changes: Option<Changes>,
}

/// A part of the envelope that goes along with a flat row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedField {
    pub(super) name: String,
    pub(super) part: EnvelopePart,
}

/// A reference to something that no envelope has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "names no field of the envelope; it takes op, ts_ms, ts_us, ts_ns, a field of source (lsn, \
     table, source.ts_ms, ...), transaction.id, transaction.total_order, \
     transaction.data_collection_order, before.COLUMN and after.COLUMN, each with :NAME behind it \
     for another name"
)]
pub struct UnknownField;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EnvelopePart {
    Operation,
    /// When walferry made the event.
    Processed(Unit),
    Source(SourceField),
    Transaction(TransactionField),
    Before(String),
    After(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransactionField {
    Id,
    TotalOrder,
    DataCollectionOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceField {
    Version,
    Connector,
    Name,
    Committed(Unit),
    Snapshot,
    Db,
    Sequence,
    Schema,
    Table,
    TxId,
    Lsn,
    Xmin,
    Origin,
    OriginLsn,
}

impl AddedField {
    /// Reads `op`, `source.ts_ms`, `before.total:old_total`. The name in the flat row is the prefix
    /// and the reference with `_` for its dot, or what stands behind the colon.
    ///
    /// # Errors
    /// The envelope has no such field. Whether a table has a column is seen when its rows come; a
    /// table without it goes without the field.
    pub fn parse(text: &str, prefix: &str) -> Result<Self, UnknownField> {
        let (reference, name) = text.split_once(':').unwrap_or((text, text));
        Ok(Self {
            part: EnvelopePart::parse(reference.trim()).ok_or(UnknownField)?,
            name: format!("{prefix}{}", name.trim().replace('.', "_")),
        })
    }
}

impl Unwrap {
    /// Whether flat rows hold the time at which they were made: then repeats differ in their bytes.
    #[must_use]
    pub fn tells_time_of_processing(&self) -> bool {
        let mut fields = self.fields.iter();
        fields.any(|field| matches!(field.part, EnvelopePart::Processed(_)))
    }
}

impl EnvelopePart {
    fn parse(reference: &str) -> Option<Self> {
        Some(match reference.split_once('.') {
            None => match reference {
                "op" => Self::Operation,
                "ts_ms" => Self::Processed(Unit::Millis),
                "ts_us" => Self::Processed(Unit::Micros),
                "ts_ns" => Self::Processed(Unit::Nanos),
                field => Self::Source(SourceField::parse(field)?),
            },
            Some(("source", field)) => Self::Source(SourceField::parse(field)?),
            Some(("transaction", field)) => Self::Transaction(match field {
                "id" => TransactionField::Id,
                "total_order" => TransactionField::TotalOrder,
                "data_collection_order" => TransactionField::DataCollectionOrder,
                _ => return None,
            }),
            Some(("before", column)) if !column.is_empty() => Self::Before(column.to_owned()),
            Some(("after", column)) if !column.is_empty() => Self::After(column.to_owned()),
            Some(_) => return None,
        })
    }
}

impl SourceField {
    fn parse(field: &str) -> Option<Self> {
        Some(match field {
            "version" => Self::Version,
            "connector" => Self::Connector,
            "name" => Self::Name,
            "ts_ms" => Self::Committed(Unit::Millis),
            "ts_us" => Self::Committed(Unit::Micros),
            "ts_ns" => Self::Committed(Unit::Nanos),
            "snapshot" => Self::Snapshot,
            "db" => Self::Db,
            "sequence" => Self::Sequence,
            "schema" => Self::Schema,
            "table" => Self::Table,
            "txId" => Self::TxId,
            "lsn" => Self::Lsn,
            "xmin" => Self::Xmin,
            "origin" => Self::Origin,
            "origin_lsn" => Self::OriginLsn,
            _ => return None,
        })
    }
}

impl Unit {
    /// The time in this unit.
    pub(super) fn of(self, nanos: i128) -> i128 {
        nanos.div_euclid(match self {
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_names_of_their_own_or_given_ones() {
        let field = |text| AddedField::parse(text, "__").unwrap();
        assert_eq!(field("op").name, "__op");
        assert_eq!(field("source.ts_ms").name, "__source_ts_ms");
        assert_eq!(field("ts_ms").part, EnvelopePart::Processed(Unit::Millis));
        assert_eq!(field("lsn").part, EnvelopePart::Source(SourceField::Lsn));
        let old = field(" before.total : old.total ");
        assert_eq!(old.name, "__old_total");
        assert_eq!(old.part, EnvelopePart::Before("total".to_owned()));
        for wrong in [
            "",
            "nope",
            "source.nope",
            "transaction.nope",
            "before.",
            "x.op",
        ] {
            assert_eq!(AddedField::parse(wrong, ""), Err(UnknownField), "{wrong}");
        }
    }
}
