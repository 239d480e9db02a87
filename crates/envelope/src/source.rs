//! The parts of the envelope around the row: the source block and the times. Most of it is the same
//! for all rows of a transaction and is rendered once (Debezium manual, "Change event values").

use crate::change::{Context, SnapshotMark};
use crate::options::Options;
use crate::table::json_string;
use crate::value::write_integer;

/// The version whose format this is.
pub(crate) const VERSION: &str = "3.6.3.Final";

/// Rendered pieces of the current transaction's source block, and of its records' ids.
#[derive(Debug)]
pub(crate) struct Source {
    /// `,"source":{"version":…,"name":"srv","ts_ms":`, the same for ever.
    constant: Vec<u8>,
    /// `,"db":"shop","sequence":"[`, the same for ever.
    database: Vec<u8>,
    of: Option<Transaction>,
    /// Up to the change's own position in `sequence`.
    before_position: Vec<u8>,
    /// From there to the table's part.
    before_table: Vec<u8>,
    /// From there to `lsn`.
    before_lsn: Vec<u8>,
    /// From there to the block's end.
    after_lsn: Vec<u8>,
    /// `1:0/1A2B:`.
    id_prefix: Vec<u8>,
    now: Option<i64>,
    /// `,"ts_ms":…,"ts_us":…,"ts_ns":…}`.
    times: Vec<u8>,
}

/// What the rendered pieces were rendered from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Transaction {
    epoch: u64,
    commit_lsn: pgoutput::CommitLsn,
    commit_time: pgoutput::PgTimestamp,
    xid: u32,
    snapshot: SnapshotMark,
    origin: Option<(String, pgoutput::Lsn)>,
}

impl Source {
    pub(crate) fn new(options: &Options) -> Self {
        let mut constant = Vec::new();
        constant.extend_from_slice(b",\"source\":{\"version\":");
        json_string(VERSION, &mut constant);
        constant.extend_from_slice(b",\"connector\":\"postgresql\",\"name\":");
        json_string(&options.server_name, &mut constant);
        constant.extend_from_slice(b",\"ts_ms\":");
        let mut database = b",\"db\":".to_vec();
        json_string(&options.database, &mut database);
        database.extend_from_slice(b",\"sequence\":\"[");
        Self {
            constant,
            database,
            of: None,
            before_position: Vec::new(),
            before_table: Vec::new(),
            before_lsn: Vec::new(),
            after_lsn: Vec::new(),
            id_prefix: Vec::new(),
            now: None,
            times: Vec::new(),
        }
    }

    /// Makes the pieces those of the context's transaction and time.
    pub(crate) fn enter(&mut self, context: &Context<'_>) {
        if !self.of.as_ref().is_some_and(|of| of.is(context)) {
            self.render(context);
        }
        if self.now != Some(context.now_unix_nanos) {
            self.now = Some(context.now_unix_nanos);
            self.times.clear();
            let nanos = context.now_unix_nanos;
            for (name, time) in [
                (",\"ts_ms\":", nanos.div_euclid(1_000_000)),
                (",\"ts_us\":", nanos.div_euclid(1_000)),
                (",\"ts_ns\":", nanos),
            ] {
                self.times.extend_from_slice(name.as_bytes());
                write_integer(time, &mut self.times);
            }
            self.times.push(b'}');
        }
    }

    /// Appends `,"source":{…}` for one change.
    pub(crate) fn write_block(&self, context: &Context<'_>, table: &[u8], out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let position = digits.format(context.data_start.as_u64()).as_bytes();
        out.extend_from_slice(&self.before_position);
        out.extend_from_slice(position);
        out.extend_from_slice(&self.before_table);
        out.extend_from_slice(table);
        out.extend_from_slice(&self.before_lsn);
        match context.lsn() {
            Some(_) => out.extend_from_slice(position),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(&self.after_lsn);
    }

    /// Appends `,"ts_ms":…,"ts_us":…,"ts_ns":…}`, the envelope's end.
    pub(crate) fn write_times(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.times);
    }

    /// The id of the transaction's records, less the ordinal.
    pub(crate) fn id_prefix(&self) -> &[u8] {
        &self.id_prefix
    }

    fn render(&mut self, context: &Context<'_>) {
        let micros = context.commit_time.unix_micros();
        let nanos = i128::from(micros) * 1_000;

        let out = &mut self.before_position;
        out.clear();
        out.extend_from_slice(&self.constant);
        write_integer(micros.div_euclid(1_000), out);
        out.extend_from_slice(b",\"snapshot\":\"");
        out.extend_from_slice(context.snapshot.as_str().as_bytes());
        out.push(b'"');
        out.extend_from_slice(&self.database);
        if context.snapshot.is_in_stream() {
            out.extend_from_slice(b"\\\"");
            write_integer(context.commit_lsn.0.as_u64(), out);
            out.extend_from_slice(b"\\\"");
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\\\"");

        let out = &mut self.before_table;
        out.clear();
        out.extend_from_slice(b"\\\"]\",\"ts_us\":");
        write_integer(micros, out);
        out.extend_from_slice(b",\"ts_ns\":");
        write_integer(nanos, out);
        out.extend_from_slice(b",\"schema\":");

        let out = &mut self.before_lsn;
        out.clear();
        out.extend_from_slice(b",\"txId\":");
        match context.tx_id() {
            None => out.extend_from_slice(b"null"),
            Some(xid) => write_integer(xid, out),
        }
        out.extend_from_slice(b",\"lsn\":");

        let out = &mut self.after_lsn;
        out.clear();
        out.extend_from_slice(b",\"xmin\":null,\"origin\":");
        match context.origin {
            Some((name, lsn)) => {
                json_string(name, out);
                out.extend_from_slice(b",\"origin_lsn\":");
                write_integer(lsn.as_u64(), out);
            }
            None => out.extend_from_slice(b"null,\"origin_lsn\":null"),
        }
        out.push(b'}');

        self.id_prefix.clear();
        self.id_prefix
            .extend_from_slice(format!("{}:{}:", context.epoch, context.commit_lsn.0).as_bytes());
        self.of = Some(Transaction {
            epoch: context.epoch,
            commit_lsn: context.commit_lsn,
            commit_time: context.commit_time,
            xid: context.xid,
            snapshot: context.snapshot,
            origin: context.origin.map(|(name, lsn)| (name.to_owned(), lsn)),
        });
    }
}

impl Transaction {
    fn is(&self, context: &Context<'_>) -> bool {
        self.commit_lsn == context.commit_lsn
            && self.xid == context.xid
            && self.snapshot == context.snapshot
            && self.commit_time == context.commit_time
            && self.epoch == context.epoch
            && self
                .origin
                .as_ref()
                .map(|(name, lsn)| (name.as_str(), *lsn))
                == context.origin
    }
}

/// Appends `"[\"COMMIT\",\"CHANGE\"]"`, a string.
pub(crate) fn write_sequence(context: &Context<'_>, out: &mut Vec<u8>) {
    let change = context.data_start.as_u64();
    let sequence = match context.snapshot.is_in_stream() {
        true => format!("[\"{}\",\"{change}\"]", context.commit_lsn.0.as_u64()),
        false => format!("[null,\"{change}\"]"),
    };
    json_string(&sequence, out);
}
