//! A window: where in the list of its table's changes it begins to look, and what else it has to know.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use pgoutput::{Lsn, Relation};

use super::changes::Place;

/// An open window.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) id: u64,
    pub(super) relation: u32,
    /// How many transactions had come before.
    pub(super) opened_at: u64,
    /// What starts before this position had come before, too.
    pub(super) behind: Lsn,
    /// The last of those transactions.
    pub(super) early: Vec<u32>,
    /// Where it begins to look; nowhere, if more was changed since than is kept.
    pub(super) from: Option<Place>,
    /// What the table was described as first, and whether it ever was something else.
    shape: Option<u64>,
    reshaped: bool,
}

impl Window {
    pub(super) fn new(id: u64, relation: u32, (opened_at, behind): (u64, Lsn)) -> Self {
        Self {
            id,
            relation,
            opened_at,
            behind,
            early: Vec::new(),
            from: None,
            shape: None,
            reshaped: false,
        }
    }

    /// It looks nowhere any more; at which relation it did.
    pub(super) fn give_way(&mut self) -> u32 {
        self.from = None;
        self.relation
    }

    pub(super) fn described(&mut self, shape: u64) {
        let first = *self.shape.get_or_insert(shape);
        self.reshaped |= first != shape;
    }

    /// Whether it was described as something else.
    pub(super) fn is_altered(&self, shape: u64) -> bool {
        self.reshaped || self.shape.is_some_and(|it| it != shape)
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
