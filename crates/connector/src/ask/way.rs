//! The way a signal takes: into the WAL, or, from a standby, into the topic of signals.

use std::time::Duration;

use relay::SIGNAL_PREFIX;
use serde_json::{Value, json};
use tokio_postgres::types::{ToSql, Type};

use super::AskError;
use crate::config::Config;
use crate::credentials;
use crate::kafka::SignalWriter;
use crate::postgres::slots;
use crate::postgres::sql::{self, SqlClient};
use crate::preflight::quote::literal;

/// Where signals go.
pub(super) enum Way<'a> {
    Wal(&'a SqlClient),
    Topic {
        writer: SignalWriter,
        /// `topics.prefix`.
        key: &'a str,
    },
    /// There is none from here.
    Closed,
}

impl<'a> Way<'a> {
    pub(super) async fn of(config: &'a Config, sql: &'a SqlClient) -> Result<Self, AskError> {
        if !slots::is_standby(sql).await? {
            return Ok(Self::Wal(sql));
        }
        let Some(topic) = &config.signals.topic else {
            return Ok(Self::Closed);
        };
        let properties = credentials::properties(config).await?;
        Ok(Self::Topic {
            writer: SignalWriter::new(&properties, topic, TIMEOUT)?,
            key: &config.topics.prefix,
        })
    }

    /// Sends a signal.
    pub(super) async fn emit(&self, id: &str, kind: &str, data: &Value) -> Result<(), AskError> {
        let content = json!({ "id": id, "type": kind, "data": data }).to_string();
        match self {
            Self::Wal(sql) => {
                const EMIT: &str = "SELECT pg_catalog.pg_logical_emit_message(true, $1, $2)::text";
                let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                    [(&SIGNAL_PREFIX, Type::TEXT), (&content, Type::TEXT)];
                sql::ask("write the signal", sql.query_typed(EMIT, &parameters)).await?;
            }
            Self::Topic { writer, key } => writer.write(key, &content).await?,
            Self::Closed => {
                let (prefix, content) = (literal(SIGNAL_PREFIX), literal(&content));
                return Err(AskError::Standby {
                    statement: format!(
                        "SELECT pg_logical_emit_message(true, {prefix}, {content});"
                    ),
                });
            }
        }
        Ok(())
    }
}

const TIMEOUT: Duration = Duration::from_secs(30);
