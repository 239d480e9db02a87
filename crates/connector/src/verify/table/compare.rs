//! One table: as many passes over its topic and its rows as the memory asks for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::columns::{Columns, Row};
use super::fold::{Extent, Fold, Verdict};
use super::refusal::refusal;
use super::rows::{self, Go, Writer};
use super::topic::{Folded, TopicState};
use super::{Common, Outcome};
use crate::copy::CopyTable;
use crate::kafka::{KafkaError, ReadEnd};
use crate::preflight::finding::Severity;
use crate::verify::finding::{Finding, code};
use crate::verify::meter::Meter;
use crate::verify::report::{Stopped, TableReport};
use crate::verify::{kafka, postgres};

/// Compares one table, or says why not.
pub(super) async fn compare(
    common: &Common<'_>,
    table: Arc<CopyTable>,
    names: &[(String, String)],
    outcome: &mut Outcome,
) -> Result<(), Box<Finding>> {
    let sql = &common.snapshot.sql;
    let described = table.describe(sql).await;
    let details = described
        .map_err(|error| postgres(&crate::postgres::sql::sql("describe a table")(error)))?;
    let options = &common.config.envelope;
    let mut writer = Writer::new(&table, &details, options);
    let others = names.iter().map(|(schema, name)| (&**schema, &**name));
    let others = others.filter(|other| *other != table.name());
    if let Some(reason) = refusal(options, table.name(), writer.table(), others) {
        let problem = format!("it cannot be compared: {reason}");
        let finding = Finding::new(Severity::Warning, code::NOT_COMPARABLE, problem);
        outcome
            .findings
            .push(finding.table(&table.qualified_name()));
        return Ok(());
    }
    let Some(columns) = columns(common, &table, &mut writer).await? else {
        let problem = "it cannot be compared: its first row cannot be written as an event";
        let finding = Finding::new(Severity::Warning, code::NOT_COMPARABLE, problem);
        let finding = finding.table(&table.qualified_name());
        outcome.findings.push(finding);
        return Ok(());
    };
    let topic = writer.table().topic().to_owned();
    let mut comparison = Comparison {
        report: TableReport {
            table: table.qualified_name(),
            topic: topic.clone(),
            point: common.snapshot.point.to_string(),
            sample: common.request.sample,
            ..TableReport::default()
        },
        findings: Vec::new(),
        columns: Arc::new(columns),
        row: Row::new(),
    };
    let state = TopicState {
        properties: common.properties.clone(),
        topic,
        columns: Arc::clone(&comparison.columns),
        schemas: options.schemas,
        epoch: common.epoch,
        point: common.snapshot.point.as_u64(),
        queue_bytes: common.request.memory / 4,
        stop: Arc::clone(common.stop),
    };
    let capacity = Fold::capacity_of(common.request.memory / 4 * 3);
    let mut pass = Some(Fold::new(capacity, common.request.sample));
    while let Some(fold) = pass {
        comparison.report.passes += 1;
        let folded = read(&state, fold).await.map_err(kafka)?;
        if folded.end == ReadEnd::Stopped {
            outcome.stopped = Stopped::Yes;
            break;
        }
        pass = comparison.pass(common, &table, &mut writer, folded).await?;
        if common.stop.load(Ordering::Relaxed) {
            outcome.stopped = Stopped::Yes;
            break;
        }
    }
    comparison.tell_unreadable();
    outcome.tables.push(comparison.report);
    outcome.findings.extend(comparison.findings);
    Ok(())
}

/// Found out by the table's first row; without rows there is nothing to find out.
async fn columns(
    common: &Common<'_>,
    table: &CopyTable,
    writer: &mut Writer,
) -> Result<Option<Columns>, Box<Finding>> {
    let first = rows::first(&common.snapshot.sql, table).await;
    let Some(first) = first.map_err(|error| postgres(&error))? else {
        return Ok(Some(Columns::default()));
    };
    let keys: Vec<String> = writer.table().key_columns().map(str::to_owned).collect();
    let relation = table.relation();
    let names = relation.columns.iter().map(|column| column.name);
    let keys: Vec<bool> = names
        .map(|name| keys.iter().any(|key| key == name))
        .collect();
    Ok(rows::located(&first).and_then(|(_, row)| writer.columns(row, &keys)))
}

async fn read(state: &TopicState, fold: Fold) -> Result<Folded, KafkaError> {
    let state = state.clone();
    let read = tokio::task::spawn_blocking(move || state.read(fold)).await;
    read.unwrap_or_else(|_| {
        Err(KafkaError::Unreachable {
            what: "reading topics",
            reason: "the reading thread panicked".to_owned(),
        })
    })
}

struct Comparison {
    report: TableReport,
    findings: Vec<Finding>,
    columns: Arc<Columns>,
    row: Row,
}

impl Comparison {
    /// The table's rows against one pass of its topic; gives the next pass.
    async fn pass(
        &mut self,
        common: &Common<'_>,
        table: &CopyTable,
        writer: &mut Writer,
        folded: Folded,
    ) -> Result<Option<Fold>, Box<Finding>> {
        let Folded {
            mut fold,
            partitions,
            unreadable,
            ..
        } = folded;
        let first = self.report.passes == 1;
        if first {
            self.report.unreadable += unreadable;
        }
        let mut meter = Meter::new(format!("reading {}", self.report.table), 0);
        let read = rows::each(&common.snapshot.sql, table, |location, line| {
            meter.tick();
            match writer.write(line) {
                Some(written) if fold.wants(written.key) => {
                    let verdict = match self.columns.read(written.after, None, &mut self.row) {
                        Some(()) => fold.compare(written.key, &self.row),
                        None => Verdict::NotNow,
                    };
                    self.judge(verdict, location, &partitions);
                }
                Some(_) => {}
                None if first => self.report.unreadable += 1,
                None => {}
            }
            match common.stop.load(Ordering::Relaxed) {
                true => Go::Stop,
                false => Go::On,
            }
        });
        read.await.map_err(|error| postgres(&error))?;
        drop(meter);
        if !common.stop.load(Ordering::Relaxed) {
            for state in fold.rest() {
                self.report.extra += 1;
                let problem = "the topic has a row under this key, and the table has none";
                let finding = self.finding(code::EXTRA, problem, self.report.extra);
                self.findings.extend(
                    finding.map(|it| it.record(partition(&partitions, state.place), state.offset)),
                );
            }
        }
        Ok(fold.next())
    }

    fn judge(&mut self, verdict: Verdict, location: &[u8], partitions: &[i32]) {
        if verdict != Verdict::NotNow {
            self.report.rows += 1;
        }
        match verdict {
            Verdict::NotNow => {}
            Verdict::Equal(extent) => {
                self.report.equal += 1;
                self.report.partial += u64::from(extent == Extent::Partial);
            }
            Verdict::Different(state) => {
                self.report.different += 1;
                let problem =
                    "the row is another in the table than in its last record in the topic";
                let finding = self.finding(code::DIFFERENT, problem, self.report.different);
                self.findings.extend(finding.map(|it| {
                    it.record(partition(partitions, state.place), state.offset)
                        .row(rows::place(location))
                }));
            }
            Verdict::Missing => {
                self.report.missing += 1;
                let problem = "the table has this row, and the topic has none under its key";
                let finding = self.finding(code::MISSING, problem, self.report.missing);
                self.findings
                    .extend(finding.map(|it| it.row(rows::place(location))));
            }
        }
    }

    /// Only the first of each kind.
    fn finding(&self, code: &'static str, problem: &str, count: u64) -> Option<Finding> {
        (count <= KEPT).then(|| {
            Finding::new(Severity::Error, code, problem)
                .table(&self.report.table)
                .topic(&self.report.topic)
        })
    }

    fn tell_unreadable(&mut self) {
        if self.report.unreadable > 0 {
            let problem = format!(
                "{} rows or records could not be read and were not compared",
                self.report.unreadable
            );
            let finding = Finding::new(Severity::Warning, code::UNREADABLE, problem);
            self.findings.push(finding.table(&self.report.table));
        }
    }
}

fn partition(partitions: &[i32], place: u32) -> i32 {
    partitions.get(place as usize).copied().unwrap_or_default()
}

/// Enough to look at.
const KEPT: u64 = 10;
