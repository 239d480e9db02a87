//! The command line: `walferry run`, `check`, `verify`, `snapshot`, `outbox`, `completions`.
//!
//! Only words to values; what they do is `main.rs`'. The configuration is not read here.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use pgoutput::Lsn;

use crate::exit::Exit;

/// Everything said on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "walferry",
    version,
    about = "Change data capture from Postgres to Kafka, in Debezium's form",
    after_long_help = exit_codes(),
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish the changes of the configured tables until told to stop.
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(Run),
    /// Look for everything that would keep `run` from working, and say how to mend it.
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Read what was published: repeats, gaps, order, foreign writers; compare tables with topics.
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify(Verify),
    /// Ask a running walferry how things stand: positions, and which stage is slow.
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status(Status),
    /// Publish the rows of tables while the stream goes on, or at one point of it; stop, pause or
    /// resume that.
    #[command(after_long_help = SNAPSHOT_EXAMPLES)]
    Snapshot(Snapshot),
    /// Help with a transactional outbox.
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// Print a shell's completion script.
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// `walferry run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Stop when everything up to here is published and confirmed: `now` is the server's WAL
    /// position at the start; or an LSN such as 16/B374D848.
    #[arg(long, value_name = "now|LSN")]
    pub until: Option<Until>,
    /// How to log.
    #[command(flatten)]
    pub logs: Logs,
}

/// `walferry check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
    /// How to log.
    #[command(flatten)]
    pub logs: Logs,
}

/// `walferry verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Read this topic alone; may be given several times. Gaps are looked for only when all topics
    /// are read.
    #[arg(long = "topic", value_name = "NAME")]
    pub topics: Vec<String>,
    /// Read no topics but those of the tables that are compared.
    #[arg(long, conflicts_with = "topics")]
    pub skip_topics: bool,
    /// Compare this table with its topic; may be given several times.
    #[arg(long = "table", value_name = "SCHEMA.TABLE")]
    pub tables: Vec<String>,
    /// Compare all captured tables with their topics.
    #[arg(long = "tables", conflicts_with = "tables")]
    pub all_tables: bool,
    /// Compare one in N keys of a table.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: u64,
    /// How many seconds to wait for walferry to publish what a table holds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// MiB for what is remembered. With less, repeats are compared less far back, and a large table
    /// is read more often.
    #[arg(long, value_name = "MIB", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(4..=65536))]
    pub memory: u32,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// How to log.
    #[command(flatten)]
    pub logs: Logs,
}

/// `walferry status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Print the JSON of the page's /status.
    #[arg(long)]
    pub json: bool,
}

/// `walferry snapshot`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(false))]
pub struct Snapshot {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// The rows of this table; may be given several times.
    #[arg(long = "table", value_name = "SCHEMA.TABLE", group = "what")]
    pub tables: Vec<String>,
    /// Only rows that meet this condition, an SQL expression.
    #[arg(
        long = "where",
        value_name = "CONDITION",
        requires = "tables",
        conflicts_with_all = NOT_FOR_ROWS
    )]
    pub filter: Option<String>,
    /// Read all rows at one point, at full pace, with or without a key; the stream stands meanwhile.
    #[arg(long, requires = "tables", conflicts_with_all = NOT_FOR_ROWS)]
    pub blocking: bool,
    /// Read in the order of these columns of a unique index, with commas between.
    #[arg(
        long,
        value_name = "COLUMNS",
        requires = "tables",
        conflicts_with = "blocking",
        conflicts_with_all = NOT_FOR_ROWS
    )]
    pub surrogate_key: Option<String>,
    /// Ask, and do not wait for the end.
    #[arg(long, requires = "tables", conflicts_with_all = NOT_FOR_ROWS)]
    pub detach: bool,
    /// Stop the snapshot with this id, or all that are under way.
    #[arg(long, value_name = "ID", num_args = 0..=1, group = "what")]
    pub stop: Option<Option<String>>,
    /// Pause all that are under way.
    #[arg(long, group = "what")]
    pub pause: bool,
    /// Go on with what was paused.
    #[arg(long, group = "what")]
    pub resume: bool,
    /// How to log.
    #[command(flatten)]
    pub logs: Logs,
}

/// What is said of rows means nothing beside these. clap excuses what is required from being there where that
/// conflicts with what is.
const NOT_FOR_ROWS: [&str; 3] = ["stop", "pause", "resume"];

/// `walferry outbox`.
#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// Print the SQL that a service needs for the configured outbox: functions, table, publication,
    /// slot.
    #[command(after_long_help = OUTBOX_INIT_EXAMPLES)]
    Init(OutboxInit),
}

/// `walferry outbox init`.
#[derive(Debug, Args)]
pub struct OutboxInit {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// The role that the service connects as: gets the rights it needs, and no others.
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// The schema to put the functions into, one for each outbox; without it that of the table, or
    /// public.
    #[arg(long, value_name = "NAME")]
    pub schema: Option<String>,
    /// Run the SQL in the configured database instead of printing it.
    #[arg(long)]
    pub apply: bool,
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file. Every key can also be given by environment:
    /// WALFERRY_POSTGRES_URL is postgres.url.
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "WALFERRY_CONFIG",
        default_value = "walferry.yaml"
    )]
    pub path: PathBuf,
}

/// How to log; always to stderr.
#[derive(Clone, Debug, Args)]
pub struct Logs {
    /// Lines for people, or one JSON object a line.
    #[arg(long, value_enum, env = "WALFERRY_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// error, warn, info, debug or trace; also by module: info,connector::kafka=debug.
    #[arg(
        long,
        value_name = "LEVEL",
        env = "WALFERRY_LOG_LEVEL",
        default_value = "info"
    )]
    pub log_level: LogLevel,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people; colours on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, in `tracing`'s filter language; checked when it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The filter's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A bare word is taken for a module's name by the filter, so `inof` would log nothing.
        let is_level = |word: &str| word.parse::<tracing::level_filters::LevelFilter>().is_ok();
        for directive in text.split(',') {
            let level = directive
                .rsplit_once('=')
                .map_or(directive, |(_, level)| level);
            if !is_level(level.trim()) {
                return Err(format!(
                    "{level:?} is no level: error, warn, info, debug, trace, off"
                ));
            }
        }
        tracing_subscriber::EnvFilter::try_new(text)
            .map(|_| Self(text.to_owned()))
            .map_err(|error| error.to_string())
    }
}

/// Where `run` stops by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The server's WAL position at the start.
    Now,
    /// This position.
    Position(Lsn),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Now);
        }
        text.parse()
            .map(Self::Position)
            .map_err(|_| "write now, or an LSN such as 16/B374D848".to_owned())
    }
}

/// Writes the completion script of a shell.
///
/// # Errors
/// `out` cannot be written.
pub fn completions(shell: clap_complete::Shell, out: &mut dyn Write) -> std::io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "walferry", &mut script);
    out.write_all(&script)
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::all() {
        let name = match exit {
            Exit::Halted(halt) => format!("{halt}: "),
            _ => String::new(),
        };
        text.push_str(&format!("  {:>2}  {name}{}\n", exit.code(), exit.meaning()));
    }
    text
}

const RUN_EXAMPLES: &str = "\
Examples:
  walferry run -c walferry.yaml                     until SIGTERM or Ctrl-C
  walferry run -c walferry.yaml --until now         catch up and exit 0
  walferry run -c walferry.yaml --log-format json   logs for machines, on stderr

SIGTERM and SIGINT stop reading, wait for Kafka's acknowledgements (shutdown.timeout), store
the progress and exit 0. A second signal ends at once; nothing is lost by it.
Exit codes: walferry --help.";

const CHECK_EXAMPLES: &str = "\
Examples:
  walferry check -c walferry.yaml
  walferry check -c walferry.yaml --json | jq '.findings[].code'

Changes nothing. Exits 0 when there is nothing to mend, 3 with errors, 4 with warnings only.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  walferry verify -c walferry.yaml
  walferry verify -c walferry.yaml --topic shop.public.users --json | jq '.findings[].code'
  walferry verify -c walferry.yaml --table public.users --sample 100
  walferry verify -c walferry.yaml --skip-topics --tables

Changes nothing in Kafka. Comparing tables takes a temporary slot for a moment, and needs a
walferry that runs. Exits 0 when all is as promised (repeats are), 3 with errors, 4 with warnings
only, 7 when a signal came first.";

const STATUS_EXAMPLES: &str = "\
Examples:
  walferry status -c walferry.yaml
  walferry status -c walferry.yaml --json | jq .lag_bytes

Asks at admin.listen. Exits 1 when nobody answers there.";

const SNAPSHOT_EXAMPLES: &str = "\
Examples:
  walferry snapshot -c walferry.yaml --table public.orders
  walferry snapshot -c walferry.yaml --table public.orders --where \"total > 100\" --detach
  walferry snapshot -c walferry.yaml --table public.events --blocking
  walferry snapshot -c walferry.yaml --pause
  walferry snapshot -c walferry.yaml --stop

The walferry that runs does the work, and goes on with it after a restart. Ctrl-C asks it to stop.
Exits 0 when Kafka has all rows, 3 when a table cannot be read, 7 when it was stopped.";

const OUTBOX_INIT_EXAMPLES: &str = "\
Examples:
  walferry outbox init -c walferry.yaml --role shop            read it first
  walferry outbox init -c walferry.yaml --role shop | psql …   run it as the owner of the schema
  walferry outbox init -c walferry.yaml --role shop --apply    run it as postgres.url's role

  walferry outbox init -c walferry.yaml --role mail --schema mail   for a second service

May be run again: what is there stays as it is. What was made for another outbox is not replaced.";

const COMPLETIONS_EXAMPLES: &str = "\
Example:
  walferry completions bash > /etc/bash_completion.d/walferry";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_until_now_or_a_position() {
        for (line, expected) in [
            ("walferry run -c a.yaml", None),
            ("walferry run -c a.yaml --until now", Some(Until::Now)),
            (
                "walferry run -c a.yaml --until 16/B374D848",
                Some(Until::Position(Lsn::new(0x16_B374_D848))),
            ),
        ] {
            let Command::Run(run) = parse(line).unwrap().command else {
                panic!("{line}");
            };
            assert_eq!(run.until, expected);
            assert_eq!(run.config.path, PathBuf::from("a.yaml"));
        }
    }

    #[test]
    fn wrong_words_exit_with_the_usage_code() {
        for line in [
            "walferry",
            "walferry preview",
            "walferry run --until tomorrow",
            "walferry run --until 16-B374D848",
            "walferry run --log-level inof",
            "walferry run --log-level connector=loud",
            "walferry run --log-format yaml",
            "walferry check --jsonl",
            "walferry verify --sample 0",
            "walferry verify --tables --table public.a",
            "walferry verify --skip-topics --topic a",
            "walferry completions cobol",
            "walferry snapshot",
            "walferry snapshot --where x",
            "walferry snapshot --pause --where x",
            "walferry snapshot --stop --blocking",
            "walferry snapshot --stop a --surrogate-key id",
            "walferry snapshot --pause --detach",
            "walferry snapshot --resume --detach",
            "walferry snapshot --pause --table public.a",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
        }
        assert_eq!(parse("walferry --version").unwrap_err().exit_code(), 0);
        assert!(parse("walferry run --log-level info,connector::kafka=debug").is_ok());
        for line in [
            "walferry snapshot --table public.a --where x --detach --surrogate-key id",
            "walferry snapshot --table public.a --table public.b --blocking",
            "walferry snapshot --stop",
            "walferry snapshot --stop a",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn help_lists_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for exit in Exit::all() {
            assert!(help.contains(&format!("{:>2}  ", exit.code())), "{exit:?}");
        }
        assert!(help.contains("10  SLOT_LOST: "), "{help}");
    }

    #[test]
    fn completions_are_printed() {
        let mut script = Vec::new();
        completions(clap_complete::Shell::Bash, &mut script).unwrap();
        assert!(String::from_utf8(script).unwrap().contains("--until"));
    }
}
