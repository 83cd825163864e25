//! How and whom to ask: the `[annotate]` section of the configuration file.
//!
//! Knows: names of keys, their defaults. Must never know: what is done with them.
//! Keeps: without a word in the file, nothing but this machine's own loopback address is asked.

use super::endpoint::{Endpoint, EndpointError};
use serde::Deserialize;
use std::time::Duration;

/// Where LM Studio listens unless it is told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:1234";

/// The section as it stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Section {
    /// Whether models are asked at all.
    pub enabled: Option<bool>,
    /// The model server.
    pub url: Option<String>,
    /// Which of its models; the first that can chat where nothing is said.
    pub model: Option<String>,
    /// Hosts that may be asked although they are not this machine.
    #[serde(default, alias = "remote_hosts")]
    pub remote_hosts: Vec<String>,
    /// Whether facts of files that not everybody may read are sent, too.
    pub private: Option<bool>,
    /// Tokens of context, where the server does not say.
    pub context: Option<u32>,
    /// Tokens of an answer, at most.
    #[serde(alias = "answer_tokens")]
    pub answer_tokens: Option<u32>,
    /// Questions in an hour; 0 for any number.
    #[serde(alias = "jobs_per_hour")]
    pub jobs_per_hour: Option<u64>,
    /// Tokens in a day; 0 for any number.
    #[serde(alias = "tokens_per_day")]
    pub tokens_per_day: Option<u64>,
    /// Longest wait for an answer to begin: a cold server loads its model first.
    #[serde(alias = "first_byte_seconds")]
    pub first_byte_seconds: Option<u64>,
    /// Longest wait for all of it.
    #[serde(alias = "total_seconds")]
    pub total_seconds: Option<u64>,
    /// Per cent of time that somebody waits for a processor, above which no question is asked.
    #[serde(alias = "pause_cpu")]
    pub pause_cpu: Option<u32>,
    /// The same for memory.
    #[serde(alias = "pause_memory")]
    pub pause_memory: Option<u32>,
}

/// How long each part of an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until the answer begins.
    pub first_byte: Duration,
    /// Between two pieces of it.
    pub idle: Duration,
    /// For everything.
    pub total: Duration,
}

/// How long to wait after something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A job's first retry comes within this time; each further one within twice as long.
    pub retry_ms: u64,
    /// And never later.
    pub retry_cap_ms: u64,
    /// So often a job fails by the server's fault before it is put aside.
    pub attempts: u32,
    /// A server that fails is left alone for this time, then twice as long.
    pub cool_ms: u64,
    /// And never longer.
    pub cool_cap_ms: u64,
    /// Between two looks at a machine that is busy.
    pub pressure_ms: u64,
}

/// Everything the annotator needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether models are asked at all.
    pub enabled: bool,
    /// Whom to ask.
    pub endpoint: Endpoint,
    /// Which model; the server's first where empty.
    pub model: String,
    /// Facts of files that not everybody may read are sent, too.
    pub private: bool,
    /// Tokens of context, where the server does not say.
    pub context: Option<u32>,
    /// Tokens of an answer, at most.
    pub answer_tokens: u32,
    /// Questions in an hour; 0 for any number.
    pub jobs_per_hour: u64,
    /// Tokens in a day; 0 for any number.
    pub tokens_per_day: u64,
    /// Per cent of processor pressure that pauses; 0 never does.
    pub pause_cpu: u32,
    /// Per cent of memory pressure that pauses; 0 never does.
    pub pause_memory: u32,
    /// Timeouts.
    pub patience: Patience,
    /// Pauses after failures.
    pub pace: Pace,
}

impl Section {
    /// These wishes with the defaults for what they leave open.
    ///
    /// # Errors
    /// Where the server is one that may not be asked.
    pub fn settings(&self) -> Result<Settings, EndpointError> {
        let url = self.url.as_deref().unwrap_or(DEFAULT_URL);
        let seconds = |wish: Option<u64>, or| Duration::from_secs(wish.unwrap_or(or).max(1));
        Ok(Settings {
            enabled: self.enabled.unwrap_or(true),
            endpoint: Endpoint::parse(url, &self.remote_hosts)?,
            model: self.model.clone().unwrap_or_default(),
            private: self.private.unwrap_or(false),
            context: self.context,
            answer_tokens: self.answer_tokens.unwrap_or(1024).max(64),
            jobs_per_hour: self.jobs_per_hour.unwrap_or(240),
            tokens_per_day: self.tokens_per_day.unwrap_or(1_000_000),
            pause_cpu: self.pause_cpu.unwrap_or(40),
            pause_memory: self.pause_memory.unwrap_or(5),
            patience: Patience {
                connect: Duration::from_secs(2),
                first_byte: seconds(self.first_byte_seconds, 180),
                idle: Duration::from_secs(30),
                total: seconds(self.total_seconds, 600),
            },
            pace: Pace {
                retry_ms: 2_000,
                retry_cap_ms: 600_000,
                attempts: 8,
                cool_ms: 15_000,
                cool_cap_ms: 300_000,
                pressure_ms: 5_000,
            },
        })
    }
}
