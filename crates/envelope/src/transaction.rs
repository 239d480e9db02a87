//! Transaction metadata (Debezium manual, "Transaction metadata"): a record at each transaction's
//! begin and end, and each event's place in it.

use crate::change::Context;
use crate::encoder::Encoder;
use crate::options::Options;
use crate::records::{Operation, Records};
use crate::schema::{self, Wrapping};
use crate::table::json_string;
use crate::value::write_integer;

/// Counts the events of the transaction at hand. Off unless `provide.transaction.metadata` is set.
#[derive(Debug)]
pub(crate) struct Metadata {
    topic: String,
    key_wrapping: Wrapping,
    value_wrapping: Wrapping,
    total: u64,
    /// Tables, or prefixes of logical messages, in the order of their first events.
    collections: Vec<Collection>,
    /// Where the event counted last belongs.
    last: usize,
}

/// An event's place in its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Among all events of the transaction, from 1.
    pub(crate) total: u64,
    /// Among those of its table, from 1.
    pub(crate) order: u64,
}

#[derive(Debug)]
struct Collection {
    /// Of the relation; 0 for messages.
    relation: u32,
    name: String,
    events: u64,
}

/// Where in a transaction a boundary stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Begin,
    End,
}

/// Appends `,"transaction":…`: null for an event outside of transactions, or when its place is not
/// told.
pub(crate) fn write_block(place: Option<Place>, context: &Context<'_>, out: &mut Vec<u8>) {
    let Some(place) = place else {
        out.extend_from_slice(b",\"transaction\":null");
        return;
    };
    out.extend_from_slice(b",\"transaction\":{\"id\":");
    write_id(context, out);
    out.extend_from_slice(b",\"total_order\":");
    write_integer(place.total, out);
    out.extend_from_slice(b",\"data_collection_order\":");
    write_integer(place.order, out);
    out.push(b'}');
}

impl Metadata {
    pub(crate) fn new(options: &Options) -> Option<Self> {
        options.transaction_metadata.then(|| Self {
            topic: options.transaction_topic(),
            key_wrapping: Wrapping::of(options, schema::boundary_key),
            value_wrapping: Wrapping::of(options, schema::boundary_value),
            total: 0,
            collections: Vec::new(),
            last: 0,
        })
    }

    /// Counts an event, and gives its place.
    pub(crate) fn count(&mut self, relation: u32, name: &str) -> Place {
        self.total += 1;
        let same = |known: &Collection| {
            known.relation == relation && (relation != 0 || known.name == name)
        };
        // Events of one table come in runs.
        if !self.collections.get(self.last).is_some_and(same) {
            let known = self.collections.iter().position(same);
            self.last = known.unwrap_or(self.collections.len());
        }
        if self.last == self.collections.len() {
            self.collections.push(Collection {
                relation,
                name: name.to_owned(),
                events: 0,
            });
        }
        let mut order = 0;
        if let Some(collection) = self.collections.get_mut(self.last) {
            collection.events += 1;
            order = collection.events;
        }
        Place {
            total: self.total,
            order,
        }
    }

    /// Forgets events counted last that could not be written.
    pub(crate) fn forget(&mut self, events: u64) {
        self.total = self.total.saturating_sub(events);
        if let Some(collection) = self.collections.get_mut(self.last) {
            collection.events = collection.events.saturating_sub(events);
        }
    }

    fn write_key(&self, context: &Context<'_>, out: &mut Vec<u8>) {
        self.key_wrapping.always_around(out, |out| {
            out.extend_from_slice(b"{\"id\":");
            write_id(context, out);
            out.push(b'}');
        });
    }

    fn write_value(&self, boundary: Boundary, context: &Context<'_>, out: &mut Vec<u8>) {
        self.value_wrapping.always_around(out, |out| {
            let status: &[u8] = match boundary {
                Boundary::Begin => b"{\"status\":\"BEGIN\",\"id\":",
                Boundary::End => b"{\"status\":\"END\",\"id\":",
            };
            out.extend_from_slice(status);
            write_id(context, out);
            match boundary {
                Boundary::Begin => {
                    out.extend_from_slice(b",\"event_count\":null,\"data_collections\":null");
                }
                Boundary::End => self.write_counts(out),
            }
            out.extend_from_slice(b",\"ts_ms\":");
            write_integer(context.commit_time.unix_micros().div_euclid(1_000), out);
            out.push(b'}');
        });
    }

    fn write_counts(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"event_count\":");
        write_integer(self.total, out);
        out.extend_from_slice(b",\"data_collections\":[");
        for (index, collection) in self.collections.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"data_collection\":");
            json_string(&collection.name, out);
            out.extend_from_slice(b",\"event_count\":");
            write_integer(collection.events, out);
            out.push(b'}');
        }
        out.push(b']');
    }
}

impl Encoder {
    /// A transaction begins. With transaction metadata that is a record.
    pub fn begin(&mut self, context: &Context<'_>, out: &mut Records) {
        if let Some(metadata) = &mut self.metadata {
            metadata.total = 0;
            metadata.collections.clear();
            metadata.last = 0;
        }
        self.boundary(Boundary::Begin, context, out);
    }

    /// The transaction ends. With transaction metadata that is a record.
    pub fn commit(&mut self, context: &Context<'_>, out: &mut Records) {
        self.boundary(Boundary::End, context, out);
    }

    fn boundary(&mut self, boundary: Boundary, context: &Context<'_>, out: &mut Records) {
        let Some(metadata) = &self.metadata else {
            return;
        };
        self.source.enter(context);
        let mut draft = out.draft(0, &metadata.topic);
        draft.key(|out| metadata.write_key(context, out));
        draft.value(|out| metadata.write_value(boundary, context, out));
        draft.finish(
            Operation::Transaction,
            self.source.id_prefix(),
            context.first_ordinal,
        );
    }
}

/// The transaction and the position of the change, as Debezium puts them together.
pub(crate) fn write_id(context: &Context<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    write_integer(context.xid, out);
    out.push(b':');
    write_integer(context.data_start.as_u64(), out);
    out.push(b'"');
}
