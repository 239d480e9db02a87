//! `walferry check`: both servers, everything at once, nothing changed.

use std::time::Duration;

use super::finding::{Finding, Subject};
use super::kafka::topics_of_config;
use super::report::Report;
use super::wanted::StoredProgress;
use super::{Captured, of_config, standby};
use crate::config::Config;
use crate::credentials::{self, Unreadable};
use crate::kafka::{ProgressError, Properties, Stored, Topics, progress};
use crate::postgres::{PostgresError, SqlClient};

/// Checks both servers for what `config` wants. What cannot be reached is a finding, too.
pub async fn whole(config: &Config) -> Report {
    let mut findings = Vec::new();
    let properties = credentials::properties(config).await;
    let (progress, stored) = match &properties {
        Ok(properties) => stored(config, properties, &mut findings).await,
        Err(_) => (StoredProgress::Unknown, Stored::default()),
    };
    let captured = postgres(config, progress, &mut findings).await;
    match properties {
        Ok(properties) => kafka(config, &properties, &captured, &stored, &mut findings).await,
        Err(error) => findings.push(secret("kafka", error)),
    }
    Report::new(findings)
}

/// Whether Kafka remembers a position of this slot, and what it remembers.
async fn stored(
    config: &Config,
    properties: &Properties,
    findings: &mut Vec<Finding>,
) -> (StoredProgress, Stored) {
    let (topic, slot) = (&config.topics.progress, &config.postgres.slot);
    match progress::read(properties, topic, slot, KAFKA_TIMEOUT).await {
        Ok(stored) if stored.progress.is_some() => (StoredProgress::Present, stored),
        Ok(stored) => (StoredProgress::Absent, stored),
        Err(ProgressError::TopicMissing { .. }) => (StoredProgress::Absent, Stored::default()),
        Err(error) => {
            findings.extend(unreadable(topic, &error));
            (StoredProgress::Unknown, Stored::default())
        }
    }
}

/// A start would end with this; what Kafka itself does not answer is found where it is asked.
fn unreadable(topic: &str, error: &ProgressError) -> Option<Finding> {
    let (code, remedy) = match error {
        ProgressError::Newer { .. } => ("PROGRESS_NEWER", "run that version or a newer one"),
        ProgressError::Unreadable { .. } => (
            "PROGRESS_UNREADABLE",
            "if a stranger writes to it: choose another topics.progress and a new postgres.slot",
        ),
        _ => return None,
    };
    let subject = Subject::Topic(topic.to_owned());
    Some(Finding::error(code, subject, format!("{error}.")).text(remedy))
}

async fn postgres(
    config: &Config,
    stored: StoredProgress,
    findings: &mut Vec<Finding>,
) -> Vec<Captured> {
    let conninfo = match credentials::conninfo(config).await {
        Ok(conninfo) => conninfo,
        Err(error) => {
            findings.push(secret("postgres", error));
            return Vec::new();
        }
    };
    match SqlClient::connect(&conninfo).await {
        Ok(client) => {
            let name = &conninfo.application_name;
            let mut examination = of_config(config, name, stored, &client).await;
            if stored == StoredProgress::Present {
                examination.leave_out_unwelcome(config);
            }
            findings.extend(examination.findings);
            match credentials::standby(config).await {
                Ok(Some(from)) => findings.extend(standby::examine(&conninfo, &from).await),
                Ok(None) => {}
                Err(error) => findings.push(secret("snapshot", error)),
            }
            examination.captured
        }
        Err(error) => {
            findings.push(unreachable(&error));
            Vec::new()
        }
    }
}

fn unreachable(error: &PostgresError) -> Finding {
    let subject = Subject::Setting("postgres.url".to_owned());
    let finding = Finding::error("POSTGRES_UNREACHABLE", subject, format!("{error}."));
    let sqlstate = error.sqlstate();
    match sqlstate.as_ref().map(|state| state.as_str()) {
        _ if error.is_authentication() => finding.text(
            "give the right user (postgres.url) and password (postgres.password_file, PGPASSWORD, \
             .pgpass), or see that pg_hba.conf lets this role in",
        ),
        Some("3D000") => finding.text("name a database that exists, at the end of postgres.url"),
        _ => finding.text("see that the server runs, and that postgres.url leads to it"),
    }
}

async fn kafka(
    config: &Config,
    properties: &Properties,
    captured: &[Captured],
    stored: &Stored,
    findings: &mut Vec<Finding>,
) {
    match Topics::connect(properties, KAFKA_TIMEOUT) {
        Ok(topics) => {
            let begun = stored.never_again();
            let found = topics_of_config(config, captured, begun, &topics).await;
            findings.extend(found.findings);
        }
        Err(error) => {
            let subject = Subject::Setting("kafka".to_owned());
            findings.push(Finding::error("KAFKA_CLIENT", subject, format!("{error}.")));
        }
    }
}

fn secret(section: &str, Unreadable(problem): Unreadable) -> Finding {
    let subject = Subject::Setting(section.to_owned());
    Finding::error("SECRET_UNREADABLE", subject, problem)
}

/// A check is read by a person who waits.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);
