//! Where one side of one case works: its database, and the name that its slot and topics begin with.

/// One side's share of the servers.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Postgres' port on loopback.
    pub(super) postgres_port: u16,
    /// The case's database, the same for both sides.
    pub(super) database: String,
    /// The slot, and the first part of topics. In records it reads `srv`.
    pub(super) prefix: String,
    /// Kafka.
    pub(super) bootstrap_servers: String,
}
