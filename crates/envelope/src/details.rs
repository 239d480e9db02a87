//! What the catalog says about a table beyond the Relation message: asked by SQL at the edge, given
//! to [`crate::Table`]. All of it may be missing, for a table that is gone by now still has changes
//! in the log.

/// `pg_index`, `pg_attribute` and `pg_type` of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelationDetails {
    /// Columns of the primary key, in the key's order; empty without one.
    pub primary_key: Vec<String>,
    /// Columns of the index of REPLICA IDENTITY USING INDEX, in the index's order; empty without.
    pub identity_index: Vec<String>,
    /// Columns declared NOT NULL (primary key columns included).
    pub not_null: Vec<String>,
    /// Columns with a default, and its expression as `pg_get_expr` prints it.
    pub defaults: Vec<(String, String)>,
    /// Digits behind the point of `money` in the database's `lc_monetary`; 2 if nothing is said.
    pub money_digits: Option<u8>,
    /// Every type that is not built in, and that a column uses directly or through a domain or array.
    pub types: Vec<TypeDetails>,
}

/// One row of `pg_type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeDetails {
    /// `pg_type.oid`.
    pub oid: u32,
    /// Name of `pg_type.typnamespace`.
    pub schema: String,
    /// `pg_type.typname`.
    pub name: String,
    /// What kind of type, by `typtype` and `typcategory`.
    pub kind: TypeKind,
}

/// Kinds of types, as `pg_type.typtype` tells them apart (arrays by `typelem`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// A type of its own, from an extension.
    Base,
    /// An enum.
    Enum {
        /// In `enumsortorder`.
        labels: Vec<String>,
    },
    /// A domain.
    Domain {
        /// `typbasetype`, which may be a domain again.
        base: u32,
        /// `typtypmod`; -1 for none.
        type_modifier: i32,
    },
    /// An array.
    Array {
        /// `typelem`.
        element: u32,
        /// `typdelim` of the element: what stands between two of them.
        delimiter: u8,
    },
    /// A row type.
    Composite,
    /// A range.
    Range,
    /// A multirange.
    Multirange,
    /// A pseudo-type; no column has one.
    Pseudo,
}
