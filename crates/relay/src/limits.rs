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
}

impl Limits {
    /// How many records beyond the cap one message of the server can make (a key change: delete,
    /// tombstone and create; a truncate: one for each table).
    pub const OVERSHOOT: usize = 4096;

    pub(crate) fn allow(&self, records: usize, bytes: usize) -> bool {
        records < self.in_flight_records && bytes < self.in_flight_bytes
    }
}
