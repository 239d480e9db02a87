//! Topics of new tables, where walferry makes none (`topics.create: never`): a table whose topic is not there is
//! not taken in, since its first event would end the connector.

use crate::config::{Config, Create};
use crate::kafka::topics::{NewTopic, TopicState};
use crate::kafka::{KafkaError, Topics};
use crate::preflight::kafka::{declared, missing_of};
use crate::unpublished::Unpublished;

/// The look for them.
#[derive(Debug)]
pub struct NewTopics {
    topics: Topics,
    bootstrap_servers: String,
    /// As the missing ones would be made.
    declared: NewTopic,
}

impl NewTopics {
    /// None where missing topics are made.
    #[must_use]
    pub fn of(config: &Config, topics: &Topics) -> Option<Self> {
        (config.topics.create == Create::Never).then(|| Self {
            topics: topics.clone(),
            bootstrap_servers: config.kafka.bootstrap_servers().to_owned(),
            declared: declared(config, ""),
        })
    }

    /// What is missing keeps its table out.
    ///
    /// # Errors
    /// Kafka did not answer; the next question is asked by another client.
    pub async fn look(&mut self, found: &mut [Unpublished]) -> Result<(), KafkaError> {
        let open = found.iter().filter(|it| it.obstacle.is_none());
        let names: Vec<String> = open.filter_map(|it| it.topic.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let described = match self.topics.describe(&names).await {
            Ok(described) => described.into_iter(),
            Err(error) => {
                self.topics.reconnect()?;
                return Err(error);
            }
        };
        let missing = described.filter(|it| it.state == TopicState::Missing);
        let missing: Vec<String> = missing.map(|it| it.name).collect();
        for table in found.iter_mut().filter(|it| it.obstacle.is_none()) {
            if let Some(name) = table.topic.as_ref().filter(|it| missing.contains(it)) {
                let topic = NewTopic {
                    name: name.clone(),
                    ..self.declared.clone()
                };
                table.obstacle = Some(missing_of(&self.bootstrap_servers, &topic).into());
            }
        }
        Ok(())
    }
}
