//! The topics' part: which topics, whether holes can be judged, and the reading.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use envelope::{LogicalMessages, Options, Records};
use relay::Progress;

use super::checker::{Checker, Gaps, Place, Record, Settings, Tally, place_of};
use super::digest::{Times, Values, digest, is_of_chunk};
use super::finding::{Finding, code, meaning};
use super::id::Id;
use super::meter::Meter;
use super::report::{Stopped, TopicReport};
use super::{KAFKA_TIMEOUT, Request};
use crate::config::Config;
use crate::kafka::topics::{Setting, TopicDescription, TopicState};
use crate::kafka::{KafkaError, Partition, Properties, ReadEnd, Stored, TopicReader, Topics};
use crate::preflight::finding::Severity;

/// What is known before the reading.
pub(super) struct Known<'a> {
    pub(super) config: &'a Config,
    pub(super) request: &'a Request,
    pub(super) properties: &'a Properties,
    pub(super) stored: &'a Stored,
    /// Topics of the published tables, as far as Postgres told them.
    pub(super) published: BTreeSet<String>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) topics: Vec<TopicReport>,
    pub(super) findings: Vec<Finding>,
    pub(super) transactions: u64,
    pub(super) transactions_not_judged: u64,
    pub(super) epoch: Option<u64>,
    pub(super) stopped: Stopped,
}

/// The topics to be read, all that were published to, and what is wrong with the choice.
struct Choice {
    read: Vec<TopicDescription>,
    findings: Vec<Finding>,
    /// Why holes cannot be judged.
    blind: Vec<String>,
}

/// Reads the topics and judges them.
pub(super) async fn verify(
    known: &Known<'_>,
    stop: &Arc<AtomicBool>,
) -> Result<Outcome, KafkaError> {
    let topics = Topics::connect(known.properties, KAFKA_TIMEOUT)?;
    let choice = choose(known, &topics).await;
    topics.close();
    let choice = choice?;
    let names: Vec<String> = choice.read.iter().map(|it| it.name.clone()).collect();
    let options = &known.config.envelope;
    let reading = Reading {
        times: names.iter().map(|it| times(options, it)).collect(),
        values: names.iter().map(|it| values(known, it)).collect(),
        properties: known.properties.clone(),
        progress: known.stored.progress.clone(),
        memory: known.request.memory,
        stop: Arc::clone(stop),
        blind: choice.blind,
        names,
    };
    let read = tokio::task::spawn_blocking(move || reading.run()).await;
    let mut outcome = read.unwrap_or_else(|_| {
        Err(KafkaError::Unreachable {
            what: "reading topics",
            reason: "the reading thread panicked".to_owned(),
        })
    })?;
    outcome.findings.extend(choice.findings);
    Ok(outcome)
}

async fn choose(known: &Known<'_>, topics: &Topics) -> Result<Choice, KafkaError> {
    let mut all: BTreeSet<String> = known.published.clone();
    all.extend(known.stored.begun.iter().cloned());
    all.extend(known.config.envelope.topics_without_table());
    // Heartbeats have no identity: there is nothing to judge.
    all.remove(&known.config.envelope.heartbeat_topic());
    let asked: BTreeSet<String> = known.request.topics.iter().cloned().collect();
    let wanted = if asked.is_empty() { &all } else { &asked };
    let names: Vec<String> = all.union(&asked).cloned().collect();
    let (mut read, mut findings, mut blind) = (Vec::new(), Vec::new(), Vec::new());
    for topic in topics.describe(&names).await? {
        let name = topic.name.as_str();
        let here = matches!(topic.state, TopicState::Present { .. });
        let begun = known.stored.begun.contains(name);
        match (here, wanted.contains(name)) {
            (true, true) => read.push(topic),
            (true, false) => blind.push(format!("{name} is not read (--topic)")),
            (false, _) if asked.contains(name) || begun => {
                blind.push(format!("{name} is not there"));
                findings.push(missing(name, asked.contains(name)));
            }
            // Nothing was published to it yet.
            (false, _) => {}
        }
    }
    if read.is_empty() && findings.is_empty() {
        let problem = "there is no topic to be read: nothing was published yet";
        findings.push(Finding::new(Severity::Warning, code::TOPICS_NONE, problem));
    }
    for topic in &read {
        blind.extend(forgets(topic));
    }
    match &known.stored.progress {
        Some(_) => {}
        None => {
            blind.push("no progress is stored".to_owned());
            findings.push(unknown_progress(known));
        }
    }
    Ok(Choice {
        read,
        findings,
        blind,
    })
}

fn missing(topic: &str, asked: bool) -> Finding {
    let problem = match asked {
        true => "the topic is not there",
        false => "records went to this topic, and it is not there any more",
    };
    let severity = if asked {
        Severity::Error
    } else {
        Severity::Warning
    };
    Finding::new(severity, code::TOPIC_MISSING, problem).topic(topic)
}

fn unknown_progress(known: &Known<'_>) -> Finding {
    let slot = &known.config.postgres.slot;
    let topic = &known.config.topics.progress;
    let problem = format!(
        "{topic} holds no progress of slot {slot}: the epoch is taken from the first record, and \
         what must be there is not known"
    );
    Finding::new(Severity::Warning, code::NO_PROGRESS, problem)
        .topic(topic)
        .remedy("see that this is the configuration that walferry runs with")
}

/// Why a topic need not hold every record that was published to it.
fn forgets(topic: &TopicDescription) -> Option<String> {
    let TopicState::Present { settings, .. } = &topic.state else {
        return None;
    };
    match settings.get("cleanup.policy") {
        Setting::Known(policy) if policy.contains("compact") => {
            Some(format!("{} is compacted", topic.name))
        }
        Setting::Known(_) => None,
        Setting::Unknown => Some(format!(
            "Kafka does not tell the settings of {}",
            topic.name
        )),
    }
}

/// Where the time of processing stands in the values of a topic.
fn times(options: &Options, topic: &str) -> Times {
    let messages = options.logical_messages == LogicalMessages::Publish;
    match &options.unwrap {
        Some(unwrap) if unwrap.tells_time_of_processing() => Times::Anywhere,
        _ if messages && options.message_topic() == topic => Times::BehindOp,
        _ => Times::AtTheEnd,
    }
}

/// What the values of a topic are. A topic that an outbox' rows name has what the application wrote.
fn values(known: &Known<'_>, topic: &str) -> Values {
    let options = &known.config.envelope;
    let is_routed = options.outbox.is_some() && !known.published.contains(topic);
    match () {
        () if options.transaction_metadata && options.transaction_topic() == topic => {
            Values::Boundaries
        }
        () if options.unwrap.is_some() || is_routed => Values::Others,
        () => Values::Envelopes,
    }
}

/// Everything the reading thread needs.
struct Reading {
    names: Vec<String>,
    times: Vec<Times>,
    values: Vec<Values>,
    properties: Properties,
    progress: Option<Progress>,
    memory: usize,
    stop: Arc<AtomicBool>,
    blind: Vec<String>,
}

impl Reading {
    fn run(mut self) -> Result<Outcome, KafkaError> {
        if self.names.is_empty() {
            return Ok(Outcome::default());
        }
        let half = self.memory / 2;
        let reader = TopicReader::open(&self.properties, &self.names, half, KAFKA_TIMEOUT)?;
        let emptied = |it: &Partition| it.low > 0 && it.low == it.high;
        if let Some(partition) = reader.partitions().iter().find(|it| emptied(it)) {
            let name = self.name(partition.topic);
            let reason = format!("all records of {name} [{}] were deleted", partition.number);
            self.blind.push(reason);
        }
        let settings = self.settings(&reader);
        let epoch = settings.epoch;
        let mut checker = Checker::new(settings);
        let mut meter = Meter::new("reading topics".to_owned(), reader.offsets());
        let end = reader.read(
            &self.stop,
            |record| place_of(id(record.header(Records::ID_HEADER)), epoch),
            |place, record| {
                meter.tick();
                let id = id(record.header(Records::ID_HEADER));
                let topic = reader.partitions().get(place).map_or(0, |it| it.topic);
                let times = match self.times.get(topic) {
                    // Outside of transactions the commit's time is that of processing.
                    _ if id.is_some_and(|it| it.position.is_last_byte()) => Times::Anywhere,
                    Some(times) => *times,
                    None => Times::Anywhere,
                };
                let values = self.values.get(topic).copied().unwrap_or(Values::Others);
                checker.take(&Record {
                    place,
                    offset: record.offset(),
                    id,
                    keyed: record.key().is_some(),
                    of_chunk: is_of_chunk(record.value(), values),
                    digest: digest(record.key(), record.value(), times),
                });
            },
        )?;
        drop(meter);
        let mut tally = checker.finish();
        if reader.has_lost_records()? && tally.forget_gaps() {
            self.blind
                .push("records were deleted while they were read".to_owned());
        }
        Ok(self.outcome(&reader, &tally, end))
    }

    fn settings(&self, reader: &TopicReader) -> Settings {
        let place = |it: &Partition| Place {
            topic: it.topic,
            truncated: it.low > 0,
        };
        Settings {
            epoch: self.progress.as_ref().map(|it| it.epoch),
            published: match &self.progress {
                Some(progress) => progress.commit_end_lsn.as_u64(),
                None => 0,
            },
            gaps: match self.blind.is_empty() {
                true => Gaps::Judged,
                false => Gaps::NotJudged,
            },
            places: reader.partitions().iter().map(place).collect(),
            topics: self.names.len(),
            remembered: self.memory / 2 / REMEMBERED_BYTES,
        }
    }

    fn outcome(&self, reader: &TopicReader, tally: &Tally, end: ReadEnd) -> Outcome {
        let mut findings = Vec::new();
        for found in tally.found() {
            let Some(partition) = reader.partitions().get(found.place) else {
                continue;
            };
            findings.push(Finding {
                id: found.id,
                last_id: found.last,
                ..Finding::new(
                    found.code.severity(),
                    found.code.as_str(),
                    meaning(found.code),
                )
                .topic(self.name(partition.topic))
                .record(partition.number, found.offset)
            });
        }
        if !self.blind.is_empty() {
            let problem = format!("gaps were not looked for: {}", self.blind.join("; "));
            let finding = Finding::new(Severity::Info, code::GAPS_NOT_JUDGED, problem);
            findings.push(finding);
        }
        let reports = self.names.iter().zip(tally.counts());
        let partitions = |name: &str| {
            let all = reader.partitions().iter();
            all.filter(|it| self.name(it.topic) == name).count()
        };
        Outcome {
            topics: reports
                .map(|(name, counts)| TopicReport {
                    topic: name.clone(),
                    partitions: partitions(name),
                    counts: *counts,
                })
                .collect(),
            findings,
            transactions: tally.transactions,
            transactions_not_judged: tally.transactions_not_judged,
            epoch: tally.epoch,
            stopped: match end {
                ReadEnd::Whole => Stopped::No,
                ReadEnd::Stopped => Stopped::Yes,
            },
        }
    }

    fn name(&self, topic: usize) -> &str {
        self.names.get(topic).map_or("", String::as_str)
    }
}

pub(super) fn id(header: Option<&[u8]>) -> Option<Id> {
    header.and_then(Id::parse)
}

/// Position, digest and partition of one record, in queues that may be half empty.
const REMEMBERED_BYTES: usize = 56;
