//! One case on real servers: a database of its own, and the sides that read its log.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use xtask::servers::{DebeziumConnect, KafkaServer, PostgresServer};

use super::case::{Case, Step};
use super::connect::Connector;
use super::normal::{self, END_TABLE};
use super::place::Place;
use super::topics;
use super::walferry::Walferry;

/// How long a side may take to say what is there.
const SAY_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// What all cases share.
pub(super) struct World<'a> {
    pub(super) postgres: &'a PostgresServer,
    pub(super) kafka: &'a KafkaServer,
    /// The worker, when Debezium takes part.
    pub(super) connect: Option<&'a DebeziumConnect>,
    /// The binary, when walferry takes part.
    pub(super) walferry: Option<&'a Path>,
    /// For walferry's files.
    pub(super) directory: &'a Path,
}

/// What each side said; nothing of a side that does not take part.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) debezium: Vec<String>,
    pub(super) walferry: Vec<String>,
}

enum Program {
    Debezium(Connector),
    Walferry(Walferry),
}

struct Side {
    place: Place,
    program: Program,
}

impl Side {
    fn start(&mut self) -> Result<()> {
        match &mut self.program {
            Program::Debezium(connector) => connector.start(),
            Program::Walferry(walferry) => walferry.start(),
        }
    }

    fn stop(&mut self) -> Result<()> {
        match &mut self.program {
            Program::Debezium(connector) => connector.stop(),
            Program::Walferry(walferry) => walferry.stop(),
        }
    }

    fn failure(&mut self) -> Option<String> {
        match &mut self.program {
            Program::Debezium(connector) => connector.failure(),
            Program::Walferry(walferry) => walferry.failure(),
        }
    }

    fn name(&self) -> &'static str {
        match &self.program {
            Program::Debezium(_) => "Debezium",
            Program::Walferry(_) => "walferry",
        }
    }
}

/// Whether the server has what the case needs.
pub(super) fn unmet_need(world: &World<'_>, case: &Case) -> Result<Option<String>> {
    let major = world.postgres.binaries().major();
    if major < case.postgres_min {
        return Ok(Some(format!("needs Postgres {}", case.postgres_min)));
    }
    for extension in &case.extensions {
        let sql = format!("SELECT 1 FROM pg_available_extensions WHERE name = '{extension}'");
        if world.postgres.query_text("postgres", &sql)?.is_empty() {
            return Ok(Some(format!("needs the extension {extension}")));
        }
    }
    Ok(None)
}

/// Runs the case; `number` makes its names unique.
pub(super) fn run(world: &World<'_>, case: &Case, number: usize) -> Result<Said> {
    let database = format!("oracle_{}", case.name);
    let create = format!("CREATE DATABASE \"{database}\" TEMPLATE template0");
    world.postgres.execute("postgres", &create)?;
    let place = |name: &str| Place {
        postgres_port: world.postgres.port(),
        database: database.clone(),
        prefix: format!("{name}{number:03}z"),
        bootstrap_servers: world.kafka.bootstrap_servers(),
    };
    let mut sides = Vec::new();
    if let Some(connect) = world.connect {
        let place = place("dbz");
        let program = Program::Debezium(Connector::new(connect.rest_port(), case, &place));
        sides.push(Side { place, program });
    }
    if let Some(binary) = world.walferry {
        let place = place("wfy");
        let walferry = Walferry::new(binary, case, &place, world.directory)?;
        let program = Program::Walferry(walferry);
        sides.push(Side { place, program });
    }
    let outcome = play(world, case, &mut sides);
    let mut said = Said::default();
    let mut places = Vec::new();
    for side in sides {
        let is_debezium = matches!(side.program, Program::Debezium(_));
        places.push((side.place, is_debezium));
    }
    if outcome.is_ok() {
        for (place, is_debezium) in &places {
            let records = topics::read(&place.bootstrap_servers, &place.prefix)?;
            let lines = normal::lines(&records, &place.prefix, case)?;
            match is_debezium {
                true => said.debezium = lines,
                false => said.walferry = lines,
            }
        }
    }
    let drop = format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
         WHERE database = '{database}' AND active"
    );
    world.postgres.execute("postgres", &drop)?;
    drop_slots(world, &database)?;
    let drop = format!("DROP DATABASE \"{database}\" WITH (FORCE)");
    world.postgres.execute("postgres", &drop)?;
    outcome.map(|()| said)
}

fn drop_slots(world: &World<'_>, database: &str) -> Result<()> {
    let sql = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
         WHERE database = '{database}'"
    );
    let since = Instant::now();
    // A walsender that was ended still holds its slot for a moment.
    while let Err(error) = world.postgres.query_text(database, &sql) {
        if since.elapsed() > SAY_LIMIT {
            return Err(error.into());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn play(world: &World<'_>, case: &Case, sides: &mut [Side]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let url = world.postgres.url_for(&format!("oracle_{}", case.name));
    let session = Session::open(runtime, &url)?;
    let mut started = false;
    for step in &case.steps {
        match step {
            Step::Statement(sql) => {
                session.ask(sql).with_context(|| format!("`{sql}`"))?;
            }
            Step::Start => {
                if !started {
                    publish(&session)?;
                    started = true;
                }
                for side in sides.iter_mut() {
                    side.start()?;
                }
                for side in sides.iter_mut() {
                    let prefix = side.place.prefix.clone();
                    let sql = format!(
                        "SELECT 1 FROM pg_replication_slots WHERE slot_name = '{prefix}' AND active \
                         AND confirmed_flush_lsn IS NOT NULL AND EXISTS (SELECT FROM pg_stat_replication s \
                         WHERE s.pid = active_pid AND s.state = 'streaming')"
                    );
                    wait(&session, side, &sql, "does not stream")?;
                }
            }
            Step::Sync => settle(&session, sides)?,
            Step::Asked(rows) => {
                for side in sides.iter_mut() {
                    wait_incremental(side, *rows)?;
                }
            }
            Step::Stop => {
                settle(&session, sides)?;
                for side in sides.iter_mut() {
                    side.stop()?;
                    let prefix = side.place.prefix.clone();
                    let sql = format!(
                        "SELECT 1 FROM pg_replication_slots WHERE slot_name = '{prefix}' AND NOT active"
                    );
                    wait(&session, side, &sql, "does not let go of its slot")?;
                }
            }
        }
    }
    Ok(())
}

/// Both read one publication: the case's own, or one of all tables.
fn publish(session: &Session) -> Result<()> {
    if session
        .ask("SELECT 1 FROM pg_publication WHERE pubname = 'oracle'")?
        .is_empty()
    {
        session.ask("CREATE PUBLICATION oracle FOR ALL TABLES")?;
    }
    Ok(())
}

/// Waits until each side has confirmed a position behind all that happened so far.
fn settle(session: &Session, sides: &mut [Side]) -> Result<()> {
    let exists = session.ask(&format!("SELECT to_regclass('public.{END_TABLE}')"))?;
    if exists.iter().all(String::is_empty) {
        session.ask(&format!(
            "CREATE TABLE public.{END_TABLE} (id int PRIMARY KEY)"
        ))?;
        let all =
            session.ask("SELECT puballtables FROM pg_publication WHERE pubname = 'oracle'")?;
        if all == ["f"] {
            let add = format!("ALTER PUBLICATION oracle ADD TABLE public.{END_TABLE}");
            session.ask(&add)?;
        }
    }
    // Whatever operations are skipped, one of these is told.
    let end = format!(
        "INSERT INTO public.{END_TABLE} VALUES (1); UPDATE public.{END_TABLE} SET id = 2; \
         DELETE FROM public.{END_TABLE}"
    );
    session.ask(&end)?;
    let lsn = session.ask("SELECT pg_current_wal_insert_lsn()")?.concat();
    // Debezium confirms the commit before the one that it is in.
    session.ask(&end)?;
    session.ask(&end)?;
    for side in sides {
        let prefix = side.place.prefix.clone();
        let sql = format!(
            "SELECT 1 FROM pg_replication_slots \
             WHERE slot_name = '{prefix}' AND confirmed_flush_lsn >= '{lsn}'"
        );
        wait(session, side, &sql, "does not confirm the end")?;
    }
    Ok(())
}

/// Waits until the side has published so many rows of incremental snapshots.
fn wait_incremental(side: &mut Side, rows: usize) -> Result<()> {
    let since = Instant::now();
    loop {
        // A topic that is being made has no leader yet.
        let read = topics::read(&side.place.bootstrap_servers, &side.place.prefix);
        let asked =
            |records: Vec<topics::Record>| records.iter().filter(|it| it.is_incremental()).count();
        let found = read.map(asked);
        if found.as_ref().is_ok_and(|found| *found >= rows) {
            return Ok(());
        }
        if since.elapsed() > SAY_LIMIT {
            let (name, failure) = (side.name(), side.failure().unwrap_or_default());
            bail!(
                "{name} published {} rows of incremental snapshots, not {rows} {failure}",
                found?
            );
        }
        std::thread::sleep(10 * POLL);
    }
}

/// Waits until `sql` has a row.
fn wait(session: &Session, side: &mut Side, sql: &str, otherwise: &str) -> Result<()> {
    let since = Instant::now();
    let mut looked = Instant::now();
    while session.ask(sql)?.is_empty() {
        let late = since.elapsed() > SAY_LIMIT;
        if late || looked.elapsed() > Duration::from_secs(1) {
            looked = Instant::now();
            if let Some(failure) = side.failure() {
                bail!("{} failed: {failure}", side.name());
            }
        }
        if late {
            bail!("{} {otherwise}", side.name());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// A session of a case: transactions may span its statements.
struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    fn open(runtime: Runtime, url: &str) -> Result<Self> {
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            Ok::<_, tokio_postgres::Error>(client)
        })?;
        Ok(Self { runtime, client })
    }

    /// The first column of each row.
    fn ask(&self, sql: &str) -> Result<Vec<String>> {
        let messages = self.runtime.block_on(self.client.simple_query(sql));
        let messages = messages.map_err(|error| match error.as_db_error() {
            Some(db) => anyhow::anyhow!("{}: {}", db.code().code(), db.message()),
            None => error.into(),
        })?;
        let text = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        };
        Ok(messages.iter().filter_map(text).collect())
    }
}
