//! Waits for the end of what was asked for, and shows how far it is.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::beforehand::has_reader;
use super::way::Way;
use super::{AskError, say};
use crate::config::Config;
use crate::credentials;
use crate::exit::Exit;
use crate::incremental::{Request, State};
use crate::kafka::{GONE_LOOKS, ProgressError, ProgressReader};
use crate::postgres::sql::SqlClient;
use crate::words::counted;

/// One who waits.
pub(super) struct Wait<'a> {
    config: &'a Config,
    sql: &'a SqlClient,
    way: &'a Way<'a>,
    id: &'a str,
    reader: ProgressReader,
    bar: ProgressBar,
    /// What was shown last.
    told: String,
}

impl<'a> Wait<'a> {
    /// For the request of this id, which was asked for that way.
    pub(super) async fn new(
        config: &'a Config,
        sql: &'a SqlClient,
        way: &'a Way<'a>,
        id: &'a str,
    ) -> Result<Self, AskError> {
        let properties = credentials::properties(config).await?;
        let (topic, slot) = (&config.topics.progress, &config.postgres.slot);
        let reader = ProgressReader::new(&properties, topic, slot, KAFKA_TIMEOUT);
        Ok(Self {
            config,
            sql,
            way,
            id,
            reader: reader.map_err(ProgressError::from)?,
            bar: bar(),
            told: String::new(),
        })
    }

    /// Until it is over. A signal asks to stop it, and ends the waiting where nobody is there to do so.
    pub(super) async fn run(
        mut self,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<Exit, AskError> {
        let (begun, mut stopping) = (Instant::now(), false);
        // Of looks since the note was seen.
        let mut missed = None;
        loop {
            tokio::select! {
                _ = shutdown.wait_for(|asked| *asked), if !stopping => {
                    stopping = true;
                    self.stop().await?;
                }
                () = sleep(LOOK_EVERY) => {}
            }
            let noted = self.noted().await?;
            if let Some(request) = &noted
                && let Some(exit) = self.over(request)?
            {
                return Ok(exit);
            }
            if stopping && self.is_alone().await? {
                return Ok(self.leave());
            }
            match (noted, missed) {
                (Some(request), _) => {
                    missed = Some(0);
                    self.show(line(&request));
                }
                // Kafka may not know the topic for a moment.
                (None, Some(looks)) if looks < GONE_LOOKS => missed = Some(looks + 1),
                (None, Some(_)) => return Err(self.gone()),
                (None, None) if begun.elapsed() > HINT_AFTER => self.show(NOT_TAKEN.to_owned()),
                (None, None) => {}
            }
        }
    }

    async fn noted(&self) -> Result<Option<Request>, AskError> {
        match self.reader.read().await {
            Err(error) if error.is_of_missing_topic() => Ok(None),
            stored => Ok(stored?.requests.remove(self.id)),
        }
    }

    async fn stop(&self) -> Result<(), AskError> {
        let (id, data) = (format!("{}-stop", self.id), json!({ "id": self.id }));
        self.way.emit(&id, "stop-snapshot", &data).await?;
        self.say("asked to stop it; a second signal leaves it as it is");
        Ok(())
    }

    async fn is_alone(&self) -> Result<bool, AskError> {
        let slot = &self.config.postgres.slot;
        Ok(has_reader(self.sql, slot).await? != Some(true))
    }

    /// The stop stands behind the request, for whoever reads the slot next.
    fn leave(&self) -> Exit {
        let slot = &self.config.postgres.slot;
        self.say(&format!(
            "nobody reads slot {slot} now: the next `walferry run` stops it"
        ));
        self.bar.finish_and_clear();
        Exit::NotReached
    }

    fn gone(&self) -> AskError {
        self.bar.finish_and_clear();
        AskError::Gone {
            id: self.id.to_owned(),
            topic: self.config.topics.progress.clone(),
        }
    }

    /// Shows how far it is: on a terminal in place, elsewhere as a line when there is news.
    fn show(&mut self, line: String) {
        if line != self.told {
            self.bar.set_message(line.clone());
            if self.bar.is_hidden() {
                say(&line);
            }
            self.told = line;
        }
        self.bar.tick();
    }

    /// Above the bar.
    fn say(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    /// The exit, once it is over.
    fn over(&self, request: &Request) -> Result<Option<Exit>, AskError> {
        if request.state == State::Running {
            return Ok(None);
        }
        self.bar.finish_and_clear();
        let rows = counted(request.rows, "row");
        match request.state {
            State::Failed => Err(AskError::LeftOut(request.problems.join("; "))),
            State::Stopped => {
                say(&format!("stopped after {rows}"));
                Ok(Some(Exit::NotReached))
            }
            State::Done | State::Running => {
                let chunks = counted(request.chunks, "chunk");
                say(&format!("done: {rows} in {chunks}"));
                Ok(Some(Exit::Done))
            }
        }
    }
}

fn line(request: &Request) -> String {
    let table = request.tables.as_ref().and_then(|tables| tables.first());
    let table = table.map_or("waiting", String::as_str);
    let paused = if request.paused { ", paused" } else { "" };
    let (rows, chunks) = (
        counted(request.rows, "row"),
        counted(request.chunks, "chunk"),
    );
    format!("{table}: {rows}, {chunks}{paused}")
}

fn bar() -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    match ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(300);
const HINT_AFTER: Duration = Duration::from_secs(10);
const NOT_TAKEN: &str = "no walferry has taken it yet; the next one that comes there does";
