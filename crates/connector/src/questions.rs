//! What the loop has to ask before it can go on with a table: the catalog, for what the stream's
//! description leaves out, and Kafka, for the topic.
//!
//! Both may take long (a locked catalog, a broker that is away). So a question is one more thing
//! that the loop waits for, and until it is answered nothing of the stream or of the copy is
//! wanted; status updates, deliveries and deadlines go on. What may mend by itself is asked again.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envelope::RelationDetails;
use relay::Describe;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::end::End;
use crate::kafka::ensure::Ensured;
use crate::kafka::{Class as KafkaClass, MadeFor};
use crate::postgres::sql::within;
use crate::postgres::{CatalogSession, Class as PostgresClass};

/// Who is asked, and the question that is open, if one is.
pub struct Questions {
    session: Arc<CatalogSession>,
    topics: Ensured,
    /// What the producer was made for; another topic may need another producer.
    made_for: MadeFor,
    open: Option<Open>,
}

/// A question on its way. With the topics when they were asked about.
type Open = Pin<Box<dyn Future<Output = Result<Answer, End>> + Send>>;

/// What came back.
struct Answer {
    details: Option<RelationDetails>,
    topics: Option<Ensured>,
    topic: Option<String>,
}

/// What is known now.
pub struct Answered {
    /// What the catalog says, if it was asked.
    pub details: Option<RelationDetails>,
    /// The topic that was asked for, if one was; it is there.
    pub topic: Option<String>,
}

impl Questions {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(session: Arc<CatalogSession>, topics: Ensured, made_for: MadeFor) -> Self {
        Self {
            session,
            topics,
            made_for,
            open: None,
        }
    }

    /// Whether a question is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Asks about a relation, and for its topic if that is not known to exist.
    pub fn describe(&mut self, question: Describe) {
        let session = Arc::clone(&self.session);
        let topic = question.topic.clone();
        let topics = topic.as_deref().and_then(|topic| self.unknown(topic));
        let made_for = self.made_for;
        self.open = Some(Box::pin(async move {
            let details = described(&session, &question);
            let topics = ensured(topics, topic.as_deref().unwrap_or_default(), made_for);
            let (details, topics) = tokio::try_join!(details, topics)?;
            Ok(Answer {
                details: Some(details),
                topics,
                topic: question.topic.clone(),
            })
        }));
    }

    /// Asks for a topic; at once answered if it is known to exist.
    pub fn topic(&mut self, topic: &str) {
        let topics = self.unknown(topic);
        let (topic, made_for) = (topic.to_owned(), self.made_for);
        self.open = Some(Box::pin(async move {
            let topics = ensured(topics, &topic, made_for).await?;
            let details = None;
            Ok(Answer {
                details,
                topics,
                topic: Some(topic),
            })
        }));
    }

    /// The answer; for ever, while nothing is asked. Safe to cancel.
    ///
    /// # Errors
    /// When no answer is to be had without a change from outside.
    pub async fn answered(&mut self) -> Result<Answered, End> {
        let Some(open) = &mut self.open else {
            return pending().await;
        };
        let answer = open.await;
        self.open = None;
        let answer = answer?;
        if let Some(topics) = answer.topics {
            std::mem::replace(&mut self.topics, topics).close();
        }
        let Answer { details, topic, .. } = answer;
        Ok(Answered { details, topic })
    }

    /// Nobody waits for the answer any more.
    pub fn forget(&mut self) {
        self.open = None;
    }

    fn unknown(&self, topic: &str) -> Option<Ensured> {
        (!self.topics.knows(topic)).then(|| self.topics.clone())
    }
}

/// Asks the catalog, in a new session where the old one does not answer.
async fn described(session: &CatalogSession, question: &Describe) -> Result<RelationDetails, End> {
    let mut pauses = Pauses::default();
    let mut former = None;
    loop {
        let asked = async {
            let client = match &former {
                None => session.client().await?,
                Some(former) => session.instead_of(former).await?,
            };
            former = Some(Arc::clone(&client));
            client.describe(question.relation, &question.types).await
        };
        let error = match within(CATALOG_PATIENCE, "describe a table", asked).await {
            Ok(details) => return Ok(details),
            Err(error) => error,
        };
        if error.class() == PostgresClass::Permanent {
            return Err(error.into());
        }
        let pause = pauses.next();
        let (relation, topic) = (question.relation, question.topic.as_deref());
        warn!(relation, topic, %error, "the catalog is asked again about a table");
        sleep(pause).await;
    }
}

/// Sees to it that a topic exists, and that the producer is made for it.
async fn ensured(
    topics: Option<Ensured>,
    topic: &str,
    made_for: MadeFor,
) -> Result<Option<Ensured>, End> {
    let Some(mut topics) = topics else {
        return Ok(None);
    };
    let mut pauses = Pauses::default();
    let names = [topic.to_owned()];
    while let Err(error) = topics.data(&names).await {
        if error.class() != KafkaClass::Retry {
            return Err(End::Producer(error));
        }
        warn!(topic, %error, "Kafka is asked for the topic again; its table waits");
        sleep(pauses.next()).await;
        topics.reconnect().map_err(End::Producer)?;
    }
    if pauses.taken {
        info!(topic, "the topic is there");
    }
    match made_for.lacks(topics.bytes_min(), topics.auto_creation()) {
        Some(reason) => Err(End::ProducerUnfit {
            topic: topic.to_owned(),
            reason,
        }),
        None => Ok(Some(topics)),
    }
}

/// Growing pauses between two attempts.
struct Pauses {
    next: Duration,
    taken: bool,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            next: PAUSE_MIN,
            taken: false,
        }
    }
}

impl Pauses {
    fn next(&mut self) -> Duration {
        self.taken = true;
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

/// The answer takes milliseconds; a session that is silent for so long is given up.
const CATALOG_PATIENCE: Duration = Duration::from_secs(10);
/// A question to Kafka has a patience of its own (30 s); these are for answers that come at once.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
