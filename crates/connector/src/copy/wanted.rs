//! What is copied, and how.

use envelope::Outbox;

use super::asked::Asked;
use super::catalog::CopyTable;
use crate::config::{CopySettings, TableFilter};
use crate::telemetry::SnapshotGauge;

/// Which tables, and how.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Those of this publication,
    pub publication: String,
    /// as far as the configuration wants them.
    pub tables: TableFilter,
    /// How they are read.
    pub how: CopySettings,
    /// Tables whose rows are events, if there are any.
    pub outbox: Option<Outbox>,
    /// Whether a row may be written without an event in the stream.
    pub has_silent_writes: bool,
    /// What somebody asked for, if it is not the first copy.
    pub asked: Option<Asked>,
    /// Whether the run ends with the copy.
    pub is_all: bool,
    /// Where is told how far it is.
    pub gauge: SnapshotGauge,
}

impl Wanted {
    /// The outbox whose events a table's rows are, if they are.
    pub(super) fn outbox_of(&self, table: &CopyTable) -> Option<&Outbox> {
        let (schema, name) = table.name();
        let outbox = self.outbox.as_ref();
        outbox.filter(|outbox| outbox.has_table(schema, name))
    }
}

/// Why such rows are not published when they are asked for.
pub(crate) const EVENTS_COME_ONCE: &str =
    "its rows are events of an outbox, which are published once";
