//! Settings of the topic log.

use std::{collections::BTreeMap, env, fmt};

use counterpoint_log::{Broker, TopicOptions};
use serde::{Deserialize, Deserializer, Serialize};

/// Beginning of the variables that set properties of the Kafka client, in any case.
const VARIABLES: &str = "COUNTERPOINT_TOPICS__KAFKA__";

/// The topic log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicSettings {
    /// Partitions of the topics that clips flow on, fixed when the log is made.
    pub partitions: u32,
    /// Whether the user gave the partitions, so that another number in the log is worth an error.
    #[serde(skip)]
    pub are_partitions_given: bool,
    /// Name of this process in its groups, stable over restarts; of two with one name the newer fences the
    /// older. By default `main` on an embedded log, which needs none, and the host's name on Kafka.
    pub instance: Option<String>,
    /// What the names of topics, groups and members on Kafka begin with.
    pub prefix: String,
    /// Copies of each topic on Kafka, fixed when the log is made; by default what the brokers say.
    pub replication: Option<u32>,
    /// Properties of the Kafka client.
    pub kafka: Properties,
}

/// Properties of the Kafka client by name. Their values may be secrets and are never printed.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct Properties(pub BTreeMap<String, String>);

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for Properties {
    /// Takes numbers and truth values for the texts that they are to the client.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a text, a number, true or false")]
        enum Value {
            Text(String),
            Whole(i64),
            Number(f64),
            Truth(bool),
        }
        let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let text = |value| match value {
            Value::Text(text) => text,
            Value::Whole(number) => number.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Truth(truth) => truth.to_string(),
        };
        Ok(Self(values.into_iter().map(|(name, value)| (name, text(value))).collect()))
    }
}

impl Default for TopicSettings {
    fn default() -> Self {
        let TopicOptions { partitions, prefix, replication, kafka } = TopicOptions::default();
        Self {
            partitions,
            are_partitions_given: false,
            instance: None,
            prefix,
            replication,
            kafka: Properties(kafka),
        }
    }
}

impl TopicSettings {
    /// What the log is opened with.
    pub fn options(&self) -> TopicOptions {
        TopicOptions {
            partitions: self.partitions,
            prefix: self.prefix.clone(),
            replication: self.replication,
            kafka: self.kafka.0.clone(),
        }
    }

    /// Name of this process in its groups.
    pub fn instance(&self, broker: &Broker) -> String {
        match (&self.instance, broker) {
            (Some(instance), _) => instance.clone(),
            (None, Broker::Embedded(_)) => "main".to_owned(),
            (None, Broker::Kafka(_)) => {
                let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
                // What Kafka does not take in a name.
                host.replace(|letter: char| !letter.is_ascii_alphanumeric() && !".-".contains(letter), "-")
            }
        }
    }
}

/// Whether a variable, without the beginning that all of ours share, sets a property of the client.
pub(super) fn is_property(name: &str) -> bool {
    let beginning = VARIABLES.strip_prefix(super::PREFIX).unwrap_or(VARIABLES);
    name.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}

/// The properties that variables set, word for word: a password of digits is no number.
pub(super) fn properties_of_environment() -> Vec<(String, String)> {
    let variables = env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        let (start, property) = name.split_at_checked(VARIABLES.len())?;
        (start.eq_ignore_ascii_case(VARIABLES) && !property.is_empty())
            .then(|| (property.to_lowercase(), value))
    });
    variables.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_process_is_named_after_its_host_where_several_hosts_share_a_log() {
        let embedded = Broker::of(None, Path::new("out")).unwrap();
        let kafka = Broker::of(Some("kafka://a:1"), Path::new("out")).unwrap();
        let mut settings = TopicSettings::default();
        assert_eq!(settings.instance(&embedded), "main");
        let host = settings.instance(&kafka);
        assert!(!host.is_empty() && !host.contains('_'), "{host}");
        settings.instance = Some("b".to_owned());
        assert_eq!((settings.instance(&embedded), settings.instance(&kafka)), ("b".into(), "b".into()));
    }

    #[test]
    fn properties_are_texts_whatever_they_look_like_and_are_not_printed() {
        let settings: TopicSettings = toml_of(
            "[kafka]\nsasl_password = \"hunter2\"\nsession_timeout_ms = 9000\nsocket_keepalive_enable = true\n",
        );
        let values: Vec<_> = settings.kafka.0.values().map(String::as_str).collect();
        assert_eq!(values, ["hunter2", "9000", "true"]);
        let printed = format!("{settings:?}");
        assert!(printed.contains("sasl_password") && !printed.contains("hunter2"), "{printed}");
    }

    fn toml_of(text: &str) -> TopicSettings {
        use figment::providers::Format as _;
        figment::Figment::from(figment::providers::Toml::string(text)).extract().unwrap()
    }

    #[test]
    fn variables_of_properties_are_told_from_others() {
        assert!(is_property("TOPICS__KAFKA__SASL_PASSWORD") && is_property("topics__kafka__x"));
        assert!(!is_property("TOPICS__PREFIX") && !is_property("SEED"));
    }
}
