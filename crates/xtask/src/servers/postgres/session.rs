//! SQL for set-up and assertions, blocking. Tests that care about a session open their own.

use std::thread;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// The first column of every row. On a thread of its own, so that it may be called from anywhere,
/// also from inside a tokio runtime.
pub(super) fn query_text(url: &str, sql: &str) -> Result<Vec<String>, String> {
    thread::scope(|scope| {
        let session = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| error.to_string())?;
            runtime
                .block_on(query(url, sql))
                .map_err(|error| describe(&error))
        });
        session
            .join()
            .map_err(|_| "the session panicked".to_owned())?
    })
}

async fn query(url: &str, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let rows = first_column(&client, sql).await;
    drop(client);
    let _ = connection.await; // so that the backend is gone when we return
    rows
}

async fn first_column(client: &Client, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    let text = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    };
    Ok(messages.iter().filter_map(text).collect())
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |db| format!("{}: {}", db.code().code(), db.message()),
    )
}
