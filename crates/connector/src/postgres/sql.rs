//! Ordinary SQL: tokio-postgres on a connection that `connect.rs` has made and authenticated.
//!
//! tokio-postgres would do its own startup; so that there is one set of rules about passwords, TLS
//! and pinned settings, it gets a stream that is past all that: [`Greeted`] swallows its startup
//! message and gives it the greeting that the server sent us.

use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use envelope::{RelationDetails, TypeDetails, TypeKind};
use pgwire::Greeting;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{NoTls, Row, Statement};
use tracing::debug;

use super::connect::{Connected, Purpose, connect};
use super::conninfo::Conninfo;
use super::error::PostgresError;
use super::transport::Transport;

/// A session for queries and COPY; everything of [`tokio_postgres::Client`].
pub struct SqlClient {
    client: tokio_postgres::Client,
    connection: AbortHandle,
}

impl Deref for SqlClient {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl SqlClient {
    /// Connects; a task of its own drives the connection until the client is dropped.
    ///
    /// # Errors
    /// Everything that keeps a session from coming about.
    pub async fn connect(conninfo: &Conninfo) -> Result<Self, PostgresError> {
        const START: &str = "start an SQL session";
        let mut connected = Box::pin(connect(conninfo, Purpose::Sql)).await?;
        connected.transport = connected.transport.paced().map_err(|error| {
            let doing = START.to_owned();
            PostgresError::Io { doing, error }
        })?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&conninfo.user)
            .ssl_mode(tokio_postgres::config::SslMode::Disable);
        let (client, connection) = config
            .connect_raw(Greeted::new(connected), NoTls)
            .await
            .map_err(sql(START))?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "an SQL session ended");
            }
        });
        Ok(SqlClient {
            client,
            connection: connection.abort_handle(),
        })
    }

    /// Ends the session at once when aborted, whatever it is about. A client that is dropped in
    /// the middle of an answer would read it to its end.
    pub(crate) fn abort_handle(&self) -> AbortHandle {
        self.connection.clone()
    }

    /// What the catalog says now about a relation and the types of its columns, in one round trip.
    /// All of it is empty when the table is gone.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn describe(
        &self,
        relation: u32,
        type_oids: &[u32],
    ) -> Result<RelationDetails, PostgresError> {
        const DOING: &str = "describe a table";
        describe(&self.client, relation, type_oids)
            .await
            .map_err(sql(DOING))
    }
}

/// A session that ends with the task that owns it: a COPY that nobody wants would be read to its end
/// otherwise.
pub struct CutWithTask(pub SqlClient);

impl Drop for CutWithTask {
    fn drop(&mut self) {
        self.0.abort_handle().abort();
    }
}

impl Deref for CutWithTask {
    type Target = SqlClient;

    fn deref(&self) -> &SqlClient {
        &self.0
    }
}

/// As [`SqlClient::describe`], over any session. Relation 0 is none: then only the types are told.
///
/// # Errors
/// Of the server or the connection.
pub async fn describe(
    client: &tokio_postgres::Client,
    relation: u32,
    type_oids: &[u32],
) -> Result<RelationDetails, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            DESCRIBE,
            &[(&relation, Type::OID), (&type_oids, Type::OID_ARRAY)],
        )
        .await?;
    details(&rows)
}

/// The same question for thousands of tables: the server plans it once.
pub struct Describe(Statement);

impl Describe {
    /// For this session.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn prepare(client: &tokio_postgres::Client) -> Result<Self, tokio_postgres::Error> {
        let types = [Type::OID, Type::OID_ARRAY];
        client.prepare_typed(DESCRIBE, &types).await.map(Self)
    }

    /// As [`describe`], in the session that it was prepared for.
    ///
    /// # Errors
    /// Of the server or the connection.
    pub async fn ask(
        &self,
        client: &tokio_postgres::Client,
        relation: u32,
        type_oids: &[u32],
    ) -> Result<RelationDetails, tokio_postgres::Error> {
        let rows = client.query(&self.0, &[&relation, &type_oids]).await?;
        details(&rows)
    }
}

const DESCRIBE: &str = include_str!("sql/describe.sql");

fn details(rows: &[Row]) -> Result<RelationDetails, tokio_postgres::Error> {
    let mut details = RelationDetails::default();
    for row in rows {
        let part: &str = row.try_get("part")?;
        let name: String = row.try_get("name")?;
        match part {
            "key" => details.primary_key.push(name),
            "identity" => details.identity_index.push(name),
            "not null" => details.not_null.push(name),
            "default" => {
                let expressions: Vec<String> = row.try_get("labels")?;
                let named = expressions.into_iter().map(|text| (name.clone(), text));
                details.defaults.extend(named);
            }
            "money" => {
                let digits: i32 = row.try_get("type_modifier")?;
                details.money_digits = u8::try_from(digits).ok();
            }
            _ => details.types.push(type_details(name, row)?),
        }
    }
    Ok(details)
}

/// Bounds a question: a server that takes it and then says nothing (stopped, out of memory) is as
/// good as gone.
///
/// # Errors
/// The question's own, or [`PostgresError::Timeout`].
pub async fn within<T>(
    after: Duration,
    doing: &'static str,
    question: impl Future<Output = Result<T, PostgresError>>,
) -> Result<T, PostgresError> {
    timeout(after, question).await.unwrap_or_else(|_| {
        let doing = doing.to_owned();
        Err(PostgresError::Timeout { doing, after })
    })
}

/// Asks a question that takes milliseconds and waits for nobody; only a server that does not answer
/// at all takes longer.
///
/// # Errors
/// As [`within`].
pub async fn ask<T>(
    doing: &'static str,
    question: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, PostgresError> {
    within(ANSWER_TIMEOUT, doing, async {
        question.await.map_err(sql(doing))
    })
    .await
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Wraps tokio-postgres' error with what we were about.
pub fn sql(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> PostgresError {
    move |error| PostgresError::Sql { doing, error }
}

/// The same for statements that read rows.
pub fn rows(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> PostgresError {
    move |error| PostgresError::Rows { doing, error }
}

fn type_details(name: String, row: &Row) -> Result<TypeDetails, tokio_postgres::Error> {
    let kind = match row.try_get("kind")? {
        "e" => TypeKind::Enum {
            labels: row.try_get("labels")?,
        },
        "d" => TypeKind::Domain {
            base: row.try_get("inner_type")?,
            type_modifier: row.try_get("type_modifier")?,
        },
        "a" => TypeKind::Array {
            element: row.try_get("inner_type")?,
            delimiter: delimiter(row)?,
        },
        "c" => TypeKind::Composite,
        "r" => TypeKind::Range,
        "m" => TypeKind::Multirange,
        "p" => TypeKind::Pseudo,
        _ => TypeKind::Base,
    };
    Ok(TypeDetails {
        oid: row.try_get("oid")?,
        schema: row.try_get("schema")?,
        name,
        kind,
    })
}

/// What stands between an array's elements; a comma for nearly every type.
fn delimiter(row: &Row) -> Result<u8, tokio_postgres::Error> {
    let labels: Option<Vec<String>> = row.try_get("labels")?;
    let text = labels.into_iter().flatten().next();
    Ok(text.and_then(|text| text.bytes().next()).unwrap_or(b','))
}

/// A connection whose startup is over, for a client that insists on one.
struct Greeted {
    transport: Transport,
    greeting: Vec<u8>,
    given: usize,
    startup: Startup,
}

/// How far the client's startup message has been swallowed.
enum Startup {
    Length { bytes: [u8; 4], count: usize },
    Body { left: usize },
    Over,
}

impl Greeted {
    fn new(connected: Connected) -> Self {
        let mut greeting = greeting_bytes(&connected.greeting);
        greeting.extend_from_slice(connected.frames.unread());
        Greeted {
            transport: connected.transport,
            greeting,
            given: 0,
            startup: Startup::Length {
                bytes: [0; 4],
                count: 0,
            },
        }
    }
}

/// AuthenticationOk, the ParameterStatus values, BackendKeyData, ReadyForQuery.
fn greeting_bytes(greeting: &Greeting) -> Vec<u8> {
    let mut out = Vec::new();
    let mut frame = |tag: u8, parts: &[&[u8]]| {
        let length: usize = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
        out.push(tag);
        out.extend_from_slice(&u32::try_from(length).unwrap_or(4).to_be_bytes());
        parts.iter().for_each(|part| out.extend_from_slice(part));
    };
    frame(b'R', &[&[0; 4]]);
    for (name, value) in &greeting.parameters {
        frame(b'S', &[name.as_bytes(), b"\0", value.as_bytes(), b"\0"]);
    }
    frame(
        b'K',
        &[
            &greeting.process_id.to_be_bytes(),
            &greeting.secret_key.to_be_bytes(),
        ],
    );
    frame(b'Z', &[b"I"]);
    out
}

impl Startup {
    /// How many of these bytes belong to the startup message.
    fn swallow(&mut self, bytes: &[u8]) -> usize {
        match self {
            Startup::Over => 0,
            Startup::Body { left } => {
                let taken = bytes.len().min(*left);
                *left -= taken;
                if *left == 0 {
                    *self = Startup::Over;
                }
                taken
            }
            Startup::Length {
                bytes: length,
                count,
            } => {
                let taken = bytes.len().min(length.len() - *count);
                length[*count..*count + taken].copy_from_slice(&bytes[..taken]);
                *count += taken;
                if *count == length.len() {
                    let left = u32::from_be_bytes(*length).saturating_sub(4) as usize;
                    *self = Startup::Body { left };
                }
                taken
            }
        }
    }
}

impl AsyncRead for Greeted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let greeting = &this.greeting[this.given..];
        if greeting.is_empty() {
            return Pin::new(&mut this.transport).poll_read(cx, buffer);
        }
        let count = greeting.len().min(buffer.remaining());
        buffer.put_slice(&greeting[..count]);
        this.given += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.startup.swallow(bytes) {
            0 => Pin::new(&mut this.transport).poll_write(cx, bytes),
            count => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_startup_message_is_swallowed_whole_and_nothing_more() {
        let mut message = 13u32.to_be_bytes().to_vec();
        message.extend_from_slice(b"a startup");
        message.extend_from_slice(b"Q query");
        for piece in 1..=message.len() {
            let mut startup = Startup::Length {
                bytes: [0; 4],
                count: 0,
            };
            let mut passed = Vec::new();
            for mut bytes in message.chunks(piece) {
                while !bytes.is_empty() {
                    match startup.swallow(bytes) {
                        0 => {
                            passed.extend_from_slice(bytes);
                            bytes = &[];
                        }
                        count => bytes = &bytes[count..],
                    }
                }
            }
            assert_eq!(passed, b"Q query", "in pieces of {piece}");
        }
    }
}
