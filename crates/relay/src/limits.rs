//! The caps on what may be under way to Kafka at one time.

/// Reached, they stop the reading of the socket, and nothing else: deliveries, deadlines and
/// status updates go on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Records sent and not acknowledged. Must be below the producer's own queue by at least
    /// [`Limits::OVERSHOOT`], so that its queue is never full.
    pub in_flight_records: usize,
    /// Bytes of keys and values sent and not acknowledged. One message of the server may go
    /// over it, since it is the smallest unit there is.
    pub in_flight_bytes: usize,
    /// A record of more bytes may be refused for its size. Nothing is handed out behind one until
    /// it is acknowledged: what follows it, of its own key perhaps, must not be published before it.
    pub surely_taken_bytes: usize,
}

impl Limits {
    /// How many records beyond the cap one message of the server can make (a key change: delete,
    /// tombstone and create; a truncate: one for each table).
    pub const OVERSHOOT: usize = 4096;

    /// Behind one record that does not come back (a single partition without its replicas), the
    /// ledger keeps all that comes after it: that is bounded as well.
    pub(crate) fn allow_span(&self, span: usize) -> bool {
        span < self.in_flight_records.saturating_mul(SPAN)
    }

    pub(crate) fn allow(&self, records: usize, bytes: usize) -> bool {
        records < self.in_flight_records && bytes < self.in_flight_bytes
    }
}

/// How many times the cap on records may be spanned by the oldest and the newest one kept.
const SPAN: usize = 4;
