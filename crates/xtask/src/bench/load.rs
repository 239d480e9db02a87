//! What the competitors drain: a table, and what is written to it.

use std::fmt::Write as _;

use clap::ValueEnum;

/// A table with its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Load {
    /// Eight columns, inserts.
    Users,
    /// Sixty columns of mixed types, as many updates as inserts.
    Mixed,
    /// An outbox table, with what the small table's rows say as payload.
    Outbox,
    /// The same events as logical messages.
    Messages,
}

impl Load {
    /// All, in the order in which they run.
    pub(super) const ALL: [Self; 4] = [Self::Users, Self::Mixed, Self::Outbox, Self::Messages];

    /// The table's name; of messages, their prefix.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Mixed => "mixed",
            Self::Outbox => "outbox",
            Self::Messages => "messages",
        }
    }

    /// Whether it is made of events that name their topics themselves.
    #[must_use]
    pub(super) fn is_routed(self) -> bool {
        matches!(self, Self::Outbox | Self::Messages)
    }

    /// For people.
    #[must_use]
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Users => "inserts into a table of 8 columns",
            Self::Mixed => "inserts and updates of a table of 60 columns",
            Self::Outbox => "inserts into an outbox table",
            Self::Messages => "messages of an outbox",
        }
    }

    /// How many events stand for `events` of the small table.
    #[must_use]
    pub(super) fn events(self, events: u64) -> u64 {
        match self {
            Self::Users | Self::Outbox | Self::Messages => events,
            Self::Mixed => events.div_ceil(10) * 2,
        }
    }

    /// What makes the table, if it takes one.
    #[must_use]
    pub(super) fn create(self) -> Option<String> {
        match self {
            Self::Users => Some(USERS.to_owned()),
            Self::Mixed => Some(create_mixed()),
            Self::Outbox => Some(OUTBOX.to_owned()),
            Self::Messages => None,
        }
    }

    /// The statements of one transaction: `$1` events, whose rows are numbered from `$2`.
    #[must_use]
    pub(super) fn transaction(self) -> Vec<String> {
        match self {
            Self::Users => vec![INSERT_USERS.to_owned()],
            Self::Mixed => vec![insert_mixed(), UPDATE_MIXED.to_owned()],
            Self::Outbox => vec![format!(
                "insert into outbox (aggregatetype, aggregateid, type, payload)
                 select 'bench', n::text, 'UserSaid', {PAYLOAD} {NUMBERS}"
            )],
            Self::Messages => vec![format!(
                "select count(pg_logical_emit_message(true, 'messages', jsonb_build_object(
                     'id', gen_random_uuid(), 'aggregatetype', 'bench', 'aggregateid', n::text,
                     'type', 'UserSaid', 'payload', {PAYLOAD})::text)) {NUMBERS}"
            )],
        }
    }
}

/// The form that Debezium's router expects.
const OUTBOX: &str = "create table outbox (
    id            uuid primary key default gen_random_uuid(),
    aggregatetype text not null,
    aggregateid   text not null,
    type          text not null,
    payload       jsonb)";

const PAYLOAD: &str = "jsonb_build_object('id', n, 'name', 'user number ' || n,
    'email', 'user.' || n || '@example.com', 'balance', (n % 100000) / 100.0, 'active', n % 2 = 0,
    'meta', jsonb_build_object('plan', 'standard', 'visits', n % 1000, 'tags', '[\"a\", \"b\"]'::jsonb))";

const NUMBERS: &str = "from generate_series($2::int8, $2::int8 + $1::int8 - 1) n";

/// Eight columns of everyday types; about 220 B of pgoutput and 700 B of Debezium JSON a row.
const USERS: &str = "create table users (
    id         bigserial primary key,
    name       text not null,
    email      text,
    balance    numeric(12, 2),
    active     bool,
    created_at timestamptz default now(),
    updated_at timestamp,
    meta       jsonb)";

const INSERT_USERS: &str = "insert into users (name, email, balance, active, updated_at, meta)
    select 'user number ' || n, 'user.' || n || '@example.com', (n % 100000) / 100.0, n % 2 = 0,
           localtimestamp, jsonb_build_object('plan', 'standard', 'visits', n % 1000,
                                              'tags', '[\"a\", \"b\"]'::jsonb)
    from generate_series($2::int8, $2::int8 + $1::int8 - 1) n";

/// Three columns of each; the last of them is null in every fourth row.
const KINDS: [(&str, &str); 20] = [
    ("smallint", "n % 30000"),
    ("integer", "n % 2000000000"),
    ("bigint", "n * 1000003"),
    ("numeric(12,2)", "n % 100000 / 100.0"),
    ("numeric", "n * 1.0001"),
    ("real", "n / 7.0"),
    ("double precision", "n / 3.0"),
    ("boolean", "n % 3 = 0"),
    ("text", "'text number ' || n"),
    ("varchar(40)", "'short ' || n"),
    ("uuid", "md5(n::text)::uuid"),
    ("date", "date '2020-01-01' + (n % 3000)::int"),
    ("time", "time '00:00' + n % 86400 * interval '1 second'"),
    (
        "timestamp",
        "timestamp '2020-01-01' + n * interval '1.5 seconds'",
    ),
    (
        "timestamptz",
        "timestamptz '2020-01-01 00:00Z' + n * interval '2.25 seconds'",
    ),
    ("interval", "n % 1000 * interval '1 minute'"),
    (
        "jsonb",
        "jsonb_build_object('n', n, 'tags', '[\"a\", \"b\"]'::jsonb)",
    ),
    ("bytea", "decode(md5(n::text), 'hex')"),
    ("integer[]", "array[n % 100, n % 1000, null]::int[]"),
    ("mood", "(array['sad', 'ok', 'happy'])[1 + n % 3]::mood"),
];

const COPIES: usize = 3;

/// Number, type and expression of each column; the first is the key.
fn columns() -> impl Iterator<Item = (usize, &'static str, String)> {
    (0..COPIES * KINDS.len()).map(|index| {
        let (of_type, expression) = KINDS[index % KINDS.len()];
        match index {
            0 => (0, "bigint primary key", "n".to_owned()),
            index if index / KINDS.len() + 1 == COPIES => {
                let rarely = format!("case when n % 4 > 0 then {expression} end");
                (index, of_type, rarely)
            }
            index => (index, of_type, expression.to_owned()),
        }
    })
}

fn create_mixed() -> String {
    let mut sql =
        "create type mood as enum ('sad', 'ok', 'happy');\ncreate table mixed (".to_owned();
    for (index, of_type, _) in columns() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(sql, "{comma}\n    c{index} {of_type}");
    }
    sql + ")"
}

fn insert_mixed() -> String {
    let values: Vec<String> = columns().map(|(_, _, value)| value).collect();
    format!(
        "insert into mixed select {}
         from generate_series($2::int8, $2::int8 + $1::int8 / 2 - 1) n",
        values.join(", ")
    )
}

const UPDATE_MIXED: &str =
    "update mixed set c1 = 1 + c1 % 30000, c8 = c8 || ' again', c13 = c13 + interval '1 day'
    where c0 >= $2::int8 and c0 < $2::int8 + $1::int8 / 2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixed_table_has_sixty_columns() {
        assert_eq!(columns().count(), 60);
        assert_eq!(create_mixed().matches("\n    c").count(), 60);
        assert_eq!(Load::Mixed.events(1_000_000), 200_000);
        assert_eq!(Load::Mixed.events(1) % 2, 0);
    }
}
