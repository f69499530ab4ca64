//! Scenarios: how many peers, what happens to them, and what is expected to come out.
//!
//! A scenario is a TOML file. Every key has a default, a key that is not known is an error, and so is a
//! number that makes no sense: a misspelt `chrun_per_minute` shall not look like a calm network. Times are
//! seconds of virtual time, shares are numbers from 0 to 1.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most peers of a scenario. Unit: peers. At some 60 KiB each this is more than most machines hold.
const MAX_PEERS: u32 = 1_000_000;

/// Longest part of a run. Unit: seconds of virtual time. A week.
const MAX_SECONDS: u32 = 7 * 86_400;

/// A network and what happens in it.
///
/// ```
/// use compeer_sim::Scenario;
///
/// let scenario: Scenario = "peers = 1000\nkill = 0.5\nexpect = { found = 0.99 }".parse()?;
/// assert_eq!(scenario.latency_ms, [20, 120]);
/// assert!("peers = 1000\nkil = 0.5".parse::<Scenario>().is_err());
/// # Ok::<(), compeer_sim::ScenarioError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Peers at the beginning. Default: 1000.
    pub peers: u32,
    /// What chance comes from. Default: 1.
    pub seed: u64,
    /// How they come to know each other. Default: warm.
    pub start: Start,
    /// With `start = "join"`: seconds in which all of them join, one after the other. Default: 300.
    pub join_seconds: u32,
    /// Latency of a message one way, from the nearest to the farthest peers. Unit: milliseconds. Default: 20 to 120.
    pub latency_ms: [u32; 2],
    /// How much later a message may come, as a share of its latency; so messages overtake each other.
    /// Default: 0.2.
    pub jitter: f64,
    /// Share of messages that never arrive. Default: 0.
    pub loss: f64,
    /// How many peers have a network (/24) in common. Default: 1.
    pub per_network: u32,
    /// Whether peers have a record of where they are kept by others. Default: yes.
    pub publish: bool,
    /// Share of the peers that leave without a word in a minute; as many join. From the end of the start on.
    /// Default: 0.
    pub churn_per_minute: f64,
    /// Peers that mean harm.
    pub hostile: Option<Hostile>,
    /// Peers that mean harm, with ids found by trying so many that they are next to one peer's key. Every look-up
    /// is for that peer then.
    pub ground: Option<Ground>,
    /// Seconds between the start and the first look-up. Default: 60.
    pub settle: u32,
    /// Share of all peers that dies at once, right before the first look-up. Default: 0.
    pub kill: f64,
    /// The network falls apart when look-ups begin.
    pub partition: Option<Partition>,
    /// Seconds in which look-ups are begun. Default: 60.
    pub duration: u32,
    /// Look-ups, evenly over `duration`: some peer looks for some other. Default: 1000.
    pub lookups: u32,
    /// Whoever was in for less than so many seconds neither looks up nor is looked for; those of a warm start are
    /// in from the beginning. Default: 60.
    pub in_for: u32,
    /// What has to come out.
    pub expect: Expect,
}

/// How peers come to know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Tables are filled from what the simulator knows of all, at random among those that fit. Quick, and a little
    /// better than what comes about by itself.
    Warm,
    /// Each joins over one of those who are in.
    Join,
}

/// Peers that mean harm, at random places.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hostile {
    /// How many of all.
    pub share: f64,
    /// What they do.
    pub act: Act,
}

/// What a hostile peer does when it is asked. All of them can be reached, and keep nothing for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Never answers.
    Silent,
    /// Names those of its kind that are closest to the key, and nobody else.
    Lie,
    /// Answers as others do, but has no records.
    Drop,
}

/// Hostile peers next to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// How many. Each is closer to the key than every honest peer but the one whose it is.
    pub peers: u32,
    /// What they do.
    pub act: Act,
    /// Over how many networks (/24) they are spread. Default: each has its own.
    pub networks: Option<u32>,
}

/// A part of the network is cut off, and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// How many of all are on the smaller side.
    pub share: f64,
    /// For how many seconds.
    pub lasts: u32,
}

/// What has to come out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Least share of look-ups that find.
    pub found: Option<f64>,
    /// Most peers in a row that led to what was looked for, on average.
    pub hops: Option<f64>,
    /// Most queries of a look-up, on average.
    pub queries: Option<f64>,
}

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// Not TOML, or a key that is not known, or of the wrong type.
    #[error("{0}")]
    Toml(String),
    /// A number that makes no sense.
    #[error("{key} is to be {wanted}")]
    Value {
        /// Which.
        key: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            peers: 1000,
            seed: 1,
            start: Start::Warm,
            join_seconds: 300,
            latency_ms: [20, 120],
            jitter: 0.2,
            loss: 0.0,
            per_network: 1,
            publish: true,
            churn_per_minute: 0.0,
            hostile: None,
            ground: None,
            settle: 60,
            kill: 0.0,
            partition: None,
            duration: 60,
            lookups: 1000,
            in_for: 60,
            expect: Expect::default(),
        }
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Scenario =
            toml_edit::de::from_str(text).map_err(|error| ScenarioError::Toml(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }
}

impl Scenario {
    /// Whether all numbers make sense; for scenarios that were made or changed in code.
    ///
    /// # Errors
    /// [`ScenarioError::Value`]: the first that does not.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let part = |value: f64| (0.0..1.0).contains(&value);
        let seconds = |value: u32| value <= MAX_SECONDS;
        let wrong = |key, wanted| Err(ScenarioError::Value { key, wanted });
        let (hostile, partition) = (self.hostile.map_or(0.0, |h| h.share), self.partition);
        match self {
            s if !(2..=MAX_PEERS).contains(&s.peers) => wrong("peers", "2 to 1000000"),
            s if !seconds(s.join_seconds) => wrong("join_seconds", "at most 604800, a week"),
            s if s.latency_ms[0] > s.latency_ms[1] || s.latency_ms[1] > 60_000 => {
                wrong("latency_ms", "[least, most], at most 60000")
            }
            s if !share(s.jitter) => wrong("jitter", "a share from 0 to 1"),
            s if !part(s.loss) => wrong("loss", "a share from 0 to less than 1"),
            s if !(1..=254).contains(&s.per_network) => wrong("per_network", "1 to 254"),
            s if !(0.0..=10.0).contains(&s.churn_per_minute) => wrong("churn_per_minute", "0 to 10"),
            _ if !part(hostile) => wrong("hostile.share", "a share from 0 to less than 1"),
            s if s.ground.is_some_and(|g| !(1..=1000).contains(&g.peers)) => {
                wrong("ground.peers", "1 to 1000")
            }
            s if s
                .ground
                .is_some_and(|g| g.networks.is_some_and(|n| n == 0 || g.peers.div_ceil(n) > 254)) =>
            {
                wrong("ground.networks", "at least one for every 254 of ground.peers")
            }
            s if !seconds(s.settle) => wrong("settle", "at most 604800, a week"),
            s if !part(s.kill) => wrong("kill", "a share from 0 to less than 1"),
            _ if partition.is_some_and(|p| !share(p.share)) => {
                wrong("partition.share", "a share from 0 to 1")
            }
            _ if partition.is_some_and(|p| !seconds(p.lasts)) => {
                wrong("partition.lasts", "at most 604800, a week")
            }
            s if !seconds(s.duration) => wrong("duration", "at most 604800, a week"),
            s if s.lookups > 10_000_000 => wrong("lookups", "at most 10000000"),
            s if !seconds(s.in_for) => wrong("in_for", "at most 604800, a week"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_says_what_is_wrong_with_it() {
        let error = |text: &str| text.parse::<Scenario>().unwrap_err().to_string();
        assert!(error("chrun = 0.1").contains("unknown field `chrun`"), "{}", error("chrun = 0.1"));
        assert!(error("peers = \"many\"").contains("line 1"), "{}", error("peers = \"many\""));
        assert_eq!(error("peers = 1"), "peers is to be 2 to 1000000");
        assert_eq!(error("loss = 1.0"), "loss is to be a share from 0 to less than 1");
        assert_eq!(error("loss = nan"), "loss is to be a share from 0 to less than 1");
        assert!(error("hostile = { share = 0.2 }").contains("act"));
        assert!(error("expect = { fund = 1.0 }").contains("fund"));
    }

    #[test]
    fn nothing_at_all_is_a_scenario() {
        assert_eq!("".parse::<Scenario>().unwrap(), Scenario::default());
    }
}
