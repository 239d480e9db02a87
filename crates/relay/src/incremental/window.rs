//! What was changed of one table since a moment, and by whom.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use pgoutput::{Lsn, Relation};

use super::filled::{Newer, Partial};
use super::snapshot::Writer;
use super::{ChunkSnapshot, Reread};

/// An open window.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) id: u64,
    pub(super) relation: u32,
    /// How many transactions had come before.
    pub(super) opened_at: u64,
    /// What starts before this position had come before, too.
    pub(super) behind: Lsn,
    touched: Vec<Touch>,
    /// What they hold on to.
    partial_bytes: usize,
    /// Transactions that emptied the table.
    truncated: Vec<Writer>,
    /// Transactions that did who knows what.
    unknown: Vec<Writer>,
    shapes: Vec<u64>,
    overflown: bool,
}

impl Window {
    pub(super) fn new(id: u64, relation: u32, (opened_at, behind): (u64, Lsn)) -> Self {
        Self {
            id,
            relation,
            opened_at,
            behind,
            touched: Vec::new(),
            partial_bytes: 0,
            truncated: Vec::new(),
            unknown: Vec::new(),
            shapes: Vec::new(),
            overflown: false,
        }
    }

    pub(super) fn touched(&mut self, writer: Writer, key: u128, partial: Option<&Arc<Partial>>) {
        self.partial_bytes += partial.map_or(0, |it| it.bytes());
        if self.touched.len() < TOUCHED_MAX && self.partial_bytes <= PARTIAL_BYTES_MAX {
            let partial = partial.map(Arc::clone);
            self.touched.push(Touch {
                writer,
                key,
                partial,
            });
        } else {
            self.overflown = true;
        }
    }

    pub(super) fn truncated(&mut self, writer: Writer) {
        push_new(&mut self.truncated, writer);
    }

    pub(super) fn unknown(&mut self, writer: Writer) {
        push_new(&mut self.unknown, writer);
    }

    pub(super) fn described(&mut self, shape: u64) {
        if self.shapes.last() != Some(&shape) {
            self.shapes.push(shape);
        }
    }

    /// Why the window cannot tell what happened, if it cannot.
    pub(super) fn obstacle(&self, snapshot: &ChunkSnapshot, shape: u64) -> Option<Reread> {
        if self.overflown {
            Some(Reread::TooMuchChanged)
        } else if self.shapes.iter().any(|it| *it != shape) {
            Some(Reread::Altered)
        } else if !self.unknown.iter().all(|it| snapshot.sees(*it)) {
            Some(Reread::NotVisibleYet)
        } else {
            None
        }
    }

    /// The keys that were touched by what the snapshot does not see, and what the stream has of them.
    pub(super) fn touched_unseen(&self, snapshot: &ChunkSnapshot) -> HashMap<u128, Newer> {
        let mut found: HashMap<u128, Newer> = HashMap::new();
        let unseen = self.touched.iter().filter(|it| !snapshot.sees(it.writer));
        for Touch { key, partial, .. } in unseen {
            let newer = found.entry(*key).or_default();
            newer.touched(partial.as_ref());
        }
        found
    }

    pub(super) fn is_emptied_unseen(&self, snapshot: &ChunkSnapshot) -> bool {
        self.truncated.iter().any(|it| !snapshot.sees(*it))
    }
}

/// A key, and the transaction that touched it.
#[derive(Debug)]
struct Touch {
    writer: Writer,
    key: u128,
    /// The new row, if the stream has not all of it.
    partial: Option<Arc<Partial>>,
}

fn push_new(list: &mut Vec<Writer>, writer: Writer) {
    if list.last() != Some(&writer) {
        list.push(writer);
    }
}

/// A key's name: two keys with one name would cost a row, so it is long.
pub(super) fn hash(key: &[u8]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(key);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// What a description says of a table's columns, and of which its rows' identity is made.
pub(super) fn shape(relation: &Relation<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for column in relation.columns.iter() {
        column.name.hash(&mut hasher);
        (column.type_oid, column.type_modifier, column.in_identity).hash(&mut hasher);
    }
    hasher.finish()
}

/// What a description calls a table.
pub(super) fn name(relation: &Relation<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (relation.schema, relation.name).hash(&mut hasher);
    hasher.finish()
}

/// Changes kept of one window: 12 MiB.
const TOUCHED_MAX: usize = 262_144;
/// Of their rows; windows of one time share them.
const PARTIAL_BYTES_MAX: usize = 32 << 20;
