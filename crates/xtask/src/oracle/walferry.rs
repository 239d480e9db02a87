//! walferry's side: the same options in its own file, and the process.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use xtask::servers::process::ServerProcess;

use super::case::Case;
use super::place::Place;
use crate::binary;

const STOP_LIMIT: Duration = Duration::from_secs(30);

/// walferry with one case's configuration.
#[derive(Debug)]
pub(super) struct Walferry {
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    process: Option<ServerProcess>,
}

impl Walferry {
    /// Writes its file into `directory`.
    pub(super) fn new(binary: &Path, case: &Case, place: &Place, directory: &Path) -> Result<Self> {
        let config = directory.join(format!("{}.yaml", case.name));
        fs::write(&config, yaml(case, place))?;
        Ok(Self {
            binary: binary.to_owned(),
            config,
            log: directory.join(format!("{}.log", case.name)),
            process: None,
        })
    }

    pub(super) fn start(&mut self) -> Result<()> {
        let mut command = binary::command(&self.binary);
        command.arg("run").arg("-c").arg(&self.config);
        self.process = Some(ServerProcess::spawn(&mut command, &self.log, "KILL")?);
        Ok(())
    }

    /// Asks it to end, which it must do well.
    pub(super) fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("walferry does not run")?;
        process.signal(Signal::TERM);
        let status = process.wait(STOP_LIMIT).context("walferry does not end")?;
        ensure!(
            status.success(),
            "walferry ended with {status}\n{}",
            process.log_tail()
        );
        Ok(())
    }

    /// Why it does not run any more, if so.
    pub(super) fn failure(&mut self) -> Option<String> {
        let process = self.process.as_mut()?;
        let status = process.try_wait()?;
        Some(format!("it ended with {status}\n{}", process.log_tail()))
    }
}

fn yaml(case: &Case, place: &Place) -> String {
    let Place {
        postgres_port,
        database,
        prefix,
        bootstrap_servers,
    } = place;
    let mut yaml = format!(
        "name: {prefix}\n\
         postgres.url: postgresql://postgres@127.0.0.1:{postgres_port}/{database}\n\
         postgres.slot: {prefix}\npostgres.publication: oracle\n\
         kafka.bootstrap.servers: {bootstrap_servers}\n\
         topics.prefix: {prefix}\n\
         admin.listen: \"off\"\n\
         envelope.logical.messages: publish\n"
    );
    let mut includes_tables = false;
    for (name, value) in &case.options {
        let (key, value) = match name.as_str() {
            "table.include.list" => {
                includes_tables = true;
                let tables = regexes(value, "");
                (
                    "tables.include".to_owned(),
                    format!("[{tables}, public.walferry_en?]"),
                )
            }
            "schema.include.list" => {
                includes_tables = true;
                let tables = regexes(value, "[.].*");
                (
                    "tables.include".to_owned(),
                    format!("[{tables}, public.walferry_en?]"),
                )
            }
            "table.exclude.list" => (
                "tables.exclude".to_owned(),
                format!("[{}]", regexes(value, "")),
            ),
            "schema.exclude.list" => (
                "tables.exclude".to_owned(),
                format!("[{}]", regexes(value, "[.].*")),
            ),
            _ => match key(name) {
                Some(key) => (key, quoted(&value.replace("{prefix}", prefix))),
                None => continue,
            },
        };
        let _ = writeln!(yaml, "{key}: {value}"); // a String: cannot fail
    }
    for (key, value) in &case.walferry {
        let _ = writeln!(yaml, "{key}: {value}");
    }
    if !includes_tables {
        yaml.push_str("tables.include: [\"*.*\"]\n");
    }
    yaml
}

/// Where walferry has this option of Debezium's; `None` if what it says is said otherwise.
fn key(option: &str) -> Option<String> {
    if let Some(unwrap) = option.strip_prefix("transforms.unwrap.") {
        return Some(match unwrap {
            "type" => "envelope.unwrap".to_owned(),
            other => format!("envelope.unwrap.{other}"),
        });
    }
    for (transform, key) in [
        ("transforms.changes.", "envelope.unwrap."),
        ("transforms.route.", "topics.route."),
        ("transforms.partition.", "topics.partition."),
        ("transforms.outbox.", "outbox."),
    ] {
        if let Some(name) = option.strip_prefix(transform) {
            return (name != "type").then(|| format!("{key}{name}"));
        }
    }
    match option {
        "transforms" => None,
        other if other.starts_with("snapshot.") || other.starts_with("incremental.snapshot.") => {
            Some(format!("snapshot.{other}"))
        }
        other => Some(format!("envelope.{other}")),
    }
}

/// Debezium's anchored expressions as walferry's.
fn regexes(list: &str, rest: &str) -> String {
    let patterns = list.split(',');
    let patterns = patterns.map(|pattern| quoted(&format!("/(?i)(?:{}){rest}/", pattern.trim())));
    patterns.collect::<Vec<_>>().join(", ")
}

fn quoted(value: &str) -> String {
    // A transform's type is a class name; walferry only wants to know that it is wanted.
    if value.ends_with("ExtractNewRecordState") {
        return "true".to_owned();
    }
    format!("'{}'", value.replace('\'', "''"))
}
