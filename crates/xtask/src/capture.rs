//! `cargo xtask capture`: golden bytes for the decoder. Plays the scenarios of `crates/pgoutput/testdata/scenarios` on a
//! real server and writes what pgoutput said into `testdata/pgNN/*.hex`, one message a line.
//!
//! A scenario is a file of SQL. What stands before `-- captured` is setup; what stands after it is
//! decoded. Further lines that mean something: `-- since N` (the first major that can do it),
//! `-- options …` (for pgoutput), `-- two-phase slot`, `-- only LETTERS` (keep these messages), and
//! `-- copy` (the query after it goes through `COPY … TO STDOUT` instead). A publication named
//! `capture` is made for all tables unless the setup makes it.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use xtask::servers::{PostgresOptions, PostgresServer};
use xtask::workspace_root;

/// Arguments of `cargo xtask capture`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this major, 14 to 18; again for another
    #[arg(long = "postgres", value_name = "MAJOR")]
    majors: Vec<u32>,
}

/// Captures from a server of each major.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let majors = match arguments.majors.as_slice() {
        [] => &[14, 15, 16, 17, 18],
        majors => majors,
    };
    let testdata = workspace_root().join("crates/pgoutput/testdata");
    for major in majors {
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = PostgresOptions {
            major: *major,
            settings: settings.into(),
            ..PostgresOptions::default()
        };
        let postgres = PostgresServer::start(&options)?;
        // Not every installation of a server has it, and any one of them talks to every server.
        let psql = postgres.binaries().client_program("psql");
        let server = Server {
            psql: &psql.unwrap_or_else(|| "psql".into()),
            conninfo: &postgres.conninfo(),
        };
        let written = capture(&server, &testdata)?;
        eprintln!("Postgres {major}: {} scenarios", written.len());
    }
    eprintln!("Next: UPDATE_EXPECT=1 cargo test -p walferry-pgoutput --test golden");
    Ok(ExitCode::SUCCESS)
}

/// Why nothing could be captured.
#[derive(Debug, thiserror::Error)]
enum CaptureError {
    /// A scenario could not be read, or a golden file not be written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// `psql` is not there.
    #[error("cannot run {psql}: {cause}; install Postgres' client programs")]
    Psql {
        /// What was tried.
        psql: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The server refused a statement.
    #[error("scenario {scenario}: {message}")]
    Refused {
        /// The scenario's file name without its end.
        scenario: String,
        /// What `psql` said.
        message: String,
    },
}

/// The server to capture from: a superuser on a server of its own, started with [`SETTINGS`].
#[derive(Debug)]
struct Server<'a> {
    /// The `psql` to use; any supported major talks to any server.
    psql: &'a Path,
    /// libpq's keywords; of a `dbname` said twice the last one counts.
    conninfo: &'a str,
}

/// Plays every scenario that the server's major can play, and writes `testdata/pgNN/NAME.hex`.
/// Returns the files written.
///
/// # Errors
/// The first file or statement that failed; files written until then stay.
fn capture(server: &Server<'_>, testdata: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let version = server.sql("server version", "postgres", "SHOW server_version_num")?;
    let major = version.trim().parse::<u32>().unwrap_or(0) / 10_000;
    let directory = testdata.join(format!("pg{major}"));
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    let mut written = Vec::new();
    for path in scenarios(&testdata.join("scenarios"))? {
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let scenario = Scenario::parse(&name, &text);
        if scenario.since > major {
            continue;
        }
        let lines = scenario.play(server)?;
        let file = directory.join(format!("{name}.hex"));
        fs::write(&file, lines).map_err(at(&file))?;
        written.push(file);
    }
    Ok(written)
}

fn scenarios(directory: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let mut paths = fs::read_dir(directory)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(at(directory))?;
    paths.sort();
    Ok(paths)
}

fn at(path: &Path) -> impl Fn(io::Error) -> CaptureError {
    move |cause| CaptureError::File {
        path: path.to_owned(),
        cause,
    }
}

#[derive(Debug)]
struct Scenario<'a> {
    name: &'a str,
    since: u32,
    options: &'a str,
    two_phase: bool,
    only: Option<&'a str>,
    setup: &'a str,
    played: Played<'a>,
}

#[derive(Debug)]
enum Played<'a> {
    Changes(&'a str),
    Copy(&'a str),
}

impl<'a> Scenario<'a> {
    fn parse(name: &'a str, text: &'a str) -> Scenario<'a> {
        let said = |word: &str| text.lines().find_map(|line| line.strip_prefix(word));
        let (setup, played) = match text.split_once("-- copy\n") {
            Some((setup, query)) => (setup, Played::Copy(query)),
            None => match text.split_once("-- captured\n") {
                Some((setup, statements)) => (setup, Played::Changes(statements)),
                None => (text, Played::Changes("")),
            },
        };
        Scenario {
            name,
            since: said("-- since ")
                .and_then(|major| major.parse().ok())
                .unwrap_or(0),
            options: said("-- options ").unwrap_or_default(),
            two_phase: said("-- two-phase slot").is_some(),
            only: said("-- only "),
            setup,
            played,
        }
    }

    /// Its lines of hexadecimal digits, from a database of its own.
    fn play(&self, server: &Server<'_>) -> Result<String, CaptureError> {
        let database = format!("capture_{}", self.name);
        let sql = |sql: &str| server.sql(self.name, &database, sql);
        let create = format!("CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0");
        server.sql(self.name, "postgres", &create)?;
        sql(self.setup)?;
        let lines = match self.played {
            Played::Copy(query) => {
                let rows = sql(&format!("COPY ({query}) TO STDOUT"))?;
                rows.split_inclusive('\n')
                    .map(|row| hex(row.as_bytes()) + "\n")
                    .collect()
            }
            Played::Changes(statements) => {
                if !self.setup.contains("CREATE PUBLICATION capture ") {
                    sql("CREATE PUBLICATION capture FOR ALL TABLES")?;
                }
                sql(&self.create_slot())?;
                sql(statements)?;
                let messages = sql(&self.peek())?;
                sql("SELECT pg_drop_replication_slot('capture')")?;
                messages.lines().filter(|line| self.keeps(line)).fold(
                    String::new(),
                    |mut lines, line| {
                        lines.push_str(line);
                        lines.push('\n');
                        lines
                    },
                )
            }
        };
        server.sql(self.name, "postgres", &format!("DROP DATABASE {database}"))?;
        Ok(lines)
    }

    fn create_slot(&self) -> String {
        let two_phase = if self.two_phase { ", false, true" } else { "" };
        format!("SELECT pg_create_logical_replication_slot('capture', 'pgoutput'{two_phase})")
    }

    fn peek(&self) -> String {
        let version = "'proto_version', '1', ";
        let version = if self.options.contains("proto_version") {
            ""
        } else {
            version
        };
        let comma = if self.options.is_empty() { "" } else { ", " };
        format!(
            "SELECT encode(data, 'hex') FROM pg_logical_slot_peek_binary_changes('capture', NULL, \
             NULL, {version}'publication_names', 'capture', 'messages', 'true'{comma}{})",
            self.options
        )
    }

    fn keeps(&self, line: &str) -> bool {
        let Some(letters) = self.only else {
            return true;
        };
        let letter = line
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        letter.is_some_and(|letter| letters.as_bytes().contains(&letter))
    }
}

impl Server<'_> {
    /// Runs statements in one session, pinned as walferry's own, and gives what they print.
    fn sql(&self, scenario: &str, database: &str, sql: &str) -> Result<String, CaptureError> {
        let psql = |cause| CaptureError::Psql {
            psql: self.psql.to_owned(),
            cause,
        };
        // From standard input, not `-c`: that would make one transaction of all statements.
        let mut child = Command::new(self.psql)
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-f",
                "-",
                "-d",
            ])
            .arg(format!("{} dbname={database}", self.conninfo))
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGOPTIONS", PINNED)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(psql)?;
        if let Some(mut stdin) = child.stdin.take() {
            // It reads a scenario of a few KB whole before it writes much.
            stdin.write_all(sql.as_bytes()).map_err(psql)?;
        }
        let output = child.wait_with_output().map_err(psql)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(CaptureError::Refused {
            scenario: scenario.to_owned(),
            message,
        })
    }
}

const PINNED: &str = "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 \
                      -c bytea_output=hex -c timezone=UTC";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The server's settings that the scenarios need, for `postgresql.conf`.
const SETTINGS: [(&str, &str); 5] = [
    ("wal_level", "logical"),
    // A slot shows what is flushed only; servers for tests do not wait for that.
    ("synchronous_commit", "on"),
    ("max_prepared_transactions", "5"),
    // The smallest: a few hundred rows of an open transaction are streamed.
    ("logical_decoding_work_mem", "64kB"),
    ("max_replication_slots", "10"),
];
