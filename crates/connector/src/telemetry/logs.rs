//! Logs to stderr: lines for people, with colours on a terminal, or JSON objects.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::StatusLine;
use crate::cli::{LogFormat, Logs};

/// Logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none; the command line has checked it, so this is a mistake in this program.
    #[error("the log level is not understood: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// There is a subscriber already.
    #[error("logging was begun twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Begins logging; once in a process. The status line must be written through what it returns.
///
/// # Errors
/// The level is none, or logging has begun before.
pub fn init(logs: &Logs) -> Result<StatusLine, LogError> {
    let filter = EnvFilter::try_new(logs.log_level.as_str())?;
    let terminal = std::io::stderr().is_terminal();
    // https://no-color.org: any value that is not empty.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let line = match (logs.log_format, terminal) {
        (LogFormat::Text, true) => StatusLine::on_terminal(),
        (LogFormat::Text, false) | (LogFormat::Json, _) => StatusLine::none(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(line.clone());
    match logs.log_format {
        LogFormat::Text => {
            let layer = layer.with_ansi(terminal && !no_color).with_target(false);
            registry.with(layer).try_init()?;
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init()?,
    }
    Ok(line)
}
