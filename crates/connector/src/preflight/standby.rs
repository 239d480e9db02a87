//! The standby that the rows are to be read on (`snapshot.from`).

use super::finding::{Finding, Subject};
use crate::copy::StandbyFacts;
use crate::postgres::{Conninfo, PostgresError, ReplicationSession};
use crate::resume::Identity;

/// Checks whether its rows can be joined to the primary's stream.
pub(super) async fn examine(primary: &Conninfo, standby: &Conninfo) -> Vec<Finding> {
    let Ok(primary) = identity(primary).await else {
        // That is a finding of its own.
        return Vec::new();
    };
    match StandbyFacts::read(standby).await {
        Ok(facts) => judge(&facts, primary),
        Err(error) => {
            // A run waits for it, and publishes changes meanwhile.
            let problem = format!("{error}. The rows that are there are read once it answers.");
            let finding = Finding::warning("STANDBY_UNREACHABLE", subject(), problem);
            vec![finding.text(
                "see that the standby runs and takes this role with `replication`, and that snapshot.from \
                 leads to it; or take snapshot.from out to read on the primary",
            )]
        }
    }
}

async fn identity(conninfo: &Conninfo) -> Result<Identity, PostgresError> {
    let mut session = ReplicationSession::connect(conninfo).await?;
    let identity = session.identify_system().await?;
    session.close().await;
    Ok(Identity {
        system_identifier: identity.system_identifier,
        timeline: identity.timeline,
    })
}

fn judge(facts: &StandbyFacts, primary: Identity) -> Vec<Finding> {
    if let Some(reason) = facts.unsuitable(primary) {
        let problem = format!("The rows cannot be read there: {reason}.");
        let finding = Finding::error("STANDBY_UNSUITABLE", subject(), problem);
        return vec![finding.text(
            "name a physical standby of the server of postgres.url, Postgres 16 or later; or take \
             snapshot.from out",
        )];
    }
    if facts.feedback {
        return Vec::new();
    }
    let problem = "hot_standby_feedback is off on the standby: its recovery cancels the reading of rows \
                   when the primary's vacuum removes what they see.";
    let finding = Finding::warning("STANDBY_FEEDBACK_OFF", subject(), problem);
    vec![finding.text("on the standby: set hot_standby_feedback = on, and reload")]
}

fn subject() -> Subject {
    Subject::Setting("snapshot.from".to_owned())
}
