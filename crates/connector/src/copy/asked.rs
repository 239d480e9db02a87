//! A copy that somebody asked for while the stream goes on: its tables are chosen by the request, and one
//! that cannot be read is left out and told of, where the first copy would end.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catalog::CopyTable;
use super::error::{CopyError, Step};
use super::locks::{LOCKED_AHEAD_MAX, Locks, all_unchanged, lock, not_locked};
use super::wanted::{EVENTS_COME_ONCE, Wanted};
use crate::incremental::Request;
use crate::postgres::sql::{self, SqlClient};
use crate::signal::means;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request as it stood when the copy began.
    pub request: Request,
    /// Tables that are not wanted any more.
    pub unwanted: Unwanted,
    /// Tables that hold a row which cannot be published.
    pub refused: Unwanted,
}

impl Asked {
    /// Whether nothing more of a table is read.
    pub(super) fn passes_over(&self, table: &str) -> bool {
        self.unwanted.has(table) || self.refused.has(table)
    }
}

/// Expressions for tables that are not wanted any more. Clones share it with the readers.
#[derive(Clone, Debug, Default)]
pub struct Unwanted(Arc<Mutex<Vec<String>>>);

impl Unwanted {
    /// Tables that match these are not begun any more.
    pub fn add(&self, patterns: &[String]) {
        self.lock().extend_from_slice(patterns);
    }

    /// Whether this table is one of them.
    #[must_use]
    pub fn has(&self, table: &str) -> bool {
        self.lock().iter().any(|it| means(it, table))
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_any(&self) -> bool {
        !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        // A panic elsewhere leaves plain texts behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has become of a copy that was asked for, in the order in which it happened.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// These tables are read.
    Chosen(Vec<String>),
    /// This one is not, or no further; of none, none is.
    LeftOut {
        /// `schema.table`.
        table: Option<String>,
        /// Why.
        reason: String,
    },
    /// Kafka has the rows of a piece.
    Piece {
        /// How many.
        rows: u64,
    },
    /// Kafka has all rows of a table.
    Table(String),
    /// Kafka has all rows.
    Done,
}

/// The tables that were asked for.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// All of them that the request names.
    pub(super) names: Vec<String>,
    /// Those that are not read, and why.
    pub(super) left_out: Vec<(Option<String>, String)>,
}

/// Chooses among the published tables, and locks what is chosen as far as that can be done ahead.
pub(super) async fn locked(
    sql: &SqlClient,
    published: Vec<CopyTable>,
    wanted: &Wanted,
    asked: &Asked,
) -> Result<(Vec<CopyTable>, Locks, Chosen), CopyError> {
    let (tables, mut chosen) = choose(published, wanted, asked);
    if tables.len() > LOCKED_AHEAD_MAX {
        return Ok((tables, Locks::EachPiece, chosen));
    }
    let mut locked = Vec::new();
    for table in tables {
        match lock_one(sql, &table).await {
            Ok(()) => locked.push(table),
            Err(error) if error.leaves_out() => {
                let name = table.qualified_name();
                chosen.left_out.push((Some(name), error.reason()));
            }
            Err(error) => return Err(error),
        }
    }
    all_unchanged(sql, &locked).await?;
    Ok((locked, Locks::Held, chosen))
}

fn choose(published: Vec<CopyTable>, wanted: &Wanted, asked: &Asked) -> (Vec<CopyTable>, Chosen) {
    let are_signals = |name: &str| wanted.how.signal_table.as_deref() == Some(name);
    let mut published: BTreeMap<String, CopyTable> = published
        .into_iter()
        .map(|table| (table.qualified_name(), table))
        .filter(|(name, _)| !are_signals(name))
        .collect();
    let known: Vec<String> = published.keys().cloned().collect();
    let mut left_out = Vec::new();
    let names = asked.request.tables.clone();
    let mut names = names.unwrap_or_else(|| {
        let chosen = asked.request.choose(&known);
        chosen.unwrap_or_else(|reason| {
            left_out.push((None, reason));
            Vec::new()
        })
    });
    names.retain(|name| !asked.unwanted.has(name));
    let are_new = asked.request.is_of_new_tables(&wanted.publication);
    let mut tables = Vec::new();
    for name in &names {
        let reason = match published.remove(name) {
            None => "it is gone, or not published any more",
            Some(table) if !are_new && wanted.outbox_of(&table).is_some() => EVENTS_COME_ONCE,
            Some(mut table) => {
                if let Some(filter) = asked.request.condition(name) {
                    table.narrow(filter);
                }
                tables.push(table);
                continue;
            }
        };
        left_out.push((Some(name.clone()), reason.to_owned()));
    }
    (tables, Chosen { names, left_out })
}

/// Within a savepoint: what cannot be locked leaves the snapshot as it is.
async fn lock_one(sql: &SqlClient, table: &CopyTable) -> Result<(), CopyError> {
    let saved = |doing: &'static str| {
        let name = table.qualified_name();
        move |error| CopyError::of(&name, Step::Begin, sql::sql(doing)(error))
    };
    let begun = sql.batch_execute("SAVEPOINT one").await;
    begun.map_err(saved("begin to lock the table"))?;
    let locked = sql.batch_execute(&lock(table)).await;
    let locked = locked.map_err(not_locked(table));
    let end = match locked {
        Ok(()) => "RELEASE SAVEPOINT one",
        Err(_) => "ROLLBACK TO SAVEPOINT one",
    };
    let ended = sql.batch_execute(end).await;
    locked.and(ended.map_err(saved("end to lock the table")))
}

/// What is told of a copy, once Kafka has what it tells of.
#[derive(Debug)]
pub(super) struct Telling {
    /// By the numbers of what was handed in.
    later: BTreeMap<u64, News>,
    news: VecDeque<News>,
    left_out: Vec<String>,
    /// Tables that hold a row which cannot be published; the readers look here.
    refused: Unwanted,
}

impl Telling {
    pub(super) fn new(refused: Unwanted) -> Self {
        Self {
            refused,
            later: BTreeMap::new(),
            news: VecDeque::new(),
            left_out: Vec::new(),
        }
    }

    pub(super) fn chosen(&mut self, chosen: Chosen) {
        self.news.push_back(News::Chosen(chosen.names));
        for (table, reason) in chosen.left_out {
            self.news.push_back(News::LeftOut { table, reason });
        }
    }

    /// One of its rows cannot be published.
    pub(super) fn refuse(&mut self, table: String, reason: String) {
        self.refused.add(&[regex::escape(&table)]);
        self.left_out(table, reason);
    }

    pub(super) fn left_out(&mut self, table: String, reason: String) {
        if self.left_out.contains(&table) {
            return;
        }
        self.left_out.push(table.clone());
        let table = Some(table);
        self.news.push_back(News::LeftOut { table, reason });
    }

    /// To be told when Kafka has everything up to this number.
    pub(super) fn later(&mut self, number: u64, news: News) {
        let is_of_left_out = matches!(&news, News::Table(table) if self.left_out.contains(table));
        if !is_of_left_out {
            self.later.insert(number, news);
        }
    }

    /// Kafka has it.
    pub(super) fn settled(&mut self, number: u64) {
        self.news.extend(self.later.remove(&number));
    }

    pub(super) fn next(&mut self) -> Option<News> {
        self.news.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_left_out_is_not_told_as_done() {
        let mut telling = Telling::new(Unwanted::default());
        telling.later(1, News::Piece { rows: 5 });
        telling.left_out("public.a".to_owned(), "why".to_owned());
        telling.later(2, News::Table("public.a".to_owned()));
        telling.later(3, News::Table("public.b".to_owned()));
        let why = News::LeftOut {
            table: Some("public.a".to_owned()),
            reason: "why".to_owned(),
        };
        assert_eq!(telling.next(), Some(why));
        assert_eq!(telling.next(), None, "Kafka has nothing yet");
        for number in 1..4 {
            telling.settled(number);
        }
        assert_eq!(telling.next(), Some(News::Piece { rows: 5 }));
        assert_eq!(telling.next(), Some(News::Table("public.b".to_owned())));
        assert_eq!(telling.next(), None);
    }

    #[test]
    fn tables_are_unwanted_by_whole_names() {
        let unwanted = Unwanted::default();
        unwanted.clone().add(&["public\\.a.*".to_owned()]);
        assert!(unwanted.has("public.ab") && !unwanted.has("public.b"));
        assert!(!unwanted.has("other.public.a"));
    }
}
