//! What is known of the server: which model answers, how long a question may be, whether it keeps
//! to a schema.
//!
//! Knows: how servers name models. Must never know: the queue, what is asked.
//! Keeps: an answer of another model than the one that was asked is none.

use super::client::{Client, Failure};
use super::prompt::{LONGEST, Message, Role};
use super::settings::Settings;
use crate::wire_annotate::{self, Completion};

/// Context of a server that does not say: what LM Studio loads a model with.
const USUAL_CONTEXT: u32 = 4096;

/// With less there is no room for a question and its answer.
const SMALLEST_CONTEXT: u32 = 2048;

/// Bytes of a question that make one token, at least: JSON has short ones.
const BYTES_PER_TOKEN: usize = 3;

/// What was found out about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The model that is asked.
    pub(super) model: String,
    /// Its context in tokens.
    pub(super) context: u32,
    /// The server keeps to schemas.
    pub(super) constrained: bool,
    /// The server takes questions with a schema at all.
    pub(super) takes_schema: bool,
    /// When it was found out.
    pub(super) at_ms: i64,
}

impl Session {
    /// Asks the server about itself.
    pub(super) async fn begin(
        client: &Client,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Self, Failure> {
        let models = client.models().await?;
        let can_chat = |id: &str| !id.to_lowercase().contains("embed");
        let chosen = match settings.model.as_str() {
            "" => models.iter().find(|m| can_chat(&m.id)),
            wanted => models.iter().find(|m| is_same(wanted, &m.id)),
        };
        let Some(chosen) = chosen else {
            let names: Vec<&str> = models.iter().take(8).map(|m| m.id.as_str()).collect();
            let why = match settings.model.as_str() {
                "" => "the server has no model that can chat: load one".to_owned(),
                wanted => {
                    format!("the server has no model `{wanted}`; it has: {}", names.join(", "))
                }
            };
            return Err(Failure::Server(crate::annotate::answer::plain(&why, 300)));
        };
        let model = chosen.id.clone();
        let context = match settings.context {
            Some(tokens) => tokens,
            None => client.context(&model).await.unwrap_or(USUAL_CONTEXT),
        };
        if context < SMALLEST_CONTEXT {
            let why = format!(
                "the server gives `{model}` a context of {context} tokens: load it with at least \
                 {SMALLEST_CONTEXT}"
            );
            return Err(Failure::Server(crate::annotate::answer::plain(&why, 300)));
        }
        let mut session =
            Self { model, context, constrained: false, takes_schema: true, at_ms: now_ms };
        session.probe(client).await?;
        Ok(session)
    }

    /// Asks for one colour and allows only another: who keeps to schemas says the other.
    async fn probe(&mut self, client: &Client) -> Result<(), Failure> {
        let text = "Answer with the JSON object {\"colour\": \"red\"}.".to_owned();
        let question = [Message { role: Role::User, text }];
        let schema = Some(wire_annotate::probe_schema());
        let request = wire_annotate::request(&self.model, &question, 32, schema);
        match client.complete(request).await {
            Ok(answer) => {
                self.check(&answer)?;
                self.constrained = wire_annotate::is_probe_answer(&answer.text);
                Ok(())
            }
            // It is asked without one, and its answers are looked at all the same.
            Err(Failure::Request(_)) => {
                self.takes_schema = false;
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    /// The answer is from the model that was asked.
    pub(super) fn check(&self, answer: &Completion) -> Result<(), Failure> {
        match &answer.model {
            Some(other) if !is_same(&self.model, other) => {
                Err(Failure::OtherModel(crate::annotate::answer::plain(other, 80)))
            }
            _ => Ok(()),
        }
    }

    /// Tokens that an answer may take, so that most of the context is the question's.
    pub(super) fn answer_tokens(&self, settings: &Settings) -> u32 {
        settings.answer_tokens.min(self.context / 3).max(64)
    }

    /// Bytes that the facts of a question may take; half of it for each time it was too long.
    pub(super) fn facts_limit(&self, shrunk: u32) -> usize {
        let tokens = usize::try_from(self.context).unwrap_or(usize::MAX) / 5 * 3;
        // What we say around the facts.
        let around = 2 << 10;
        let limit = tokens.saturating_mul(BYTES_PER_TOKEN).saturating_sub(around);
        limit.clamp(512, LONGEST) >> shrunk.min(8)
    }
}

/// Whether two names mean one model: servers add tags, or say the file they loaded.
fn is_same(wanted: &str, said: &str) -> bool {
    let bare = |name: &str| {
        let name = name.to_lowercase();
        let name = name.strip_suffix(".gguf").unwrap_or(&name).to_owned();
        name.strip_suffix(":latest").unwrap_or(&name).to_owned()
    };
    let (wanted, said) = (bare(wanted), bare(said));
    let file = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    wanted == said || wanted == file(&said) || file(&wanted) == said
}

#[cfg(test)]
mod tests {
    use super::super::settings::Section;
    use super::*;

    fn session(context: u32) -> Session {
        let model = "qwen2.5-coder-7b-instruct".to_owned();
        Session { model, context, constrained: true, takes_schema: true, at_ms: 0 }
    }

    #[test]
    fn another_model_is_another_model() {
        for said in [
            "qwen2.5-coder-7b-instruct",
            "Qwen2.5-Coder-7B-Instruct",
            "qwen2.5-coder-7b-instruct:latest",
            "lmstudio-community/qwen2.5-coder-7b-instruct",
            "/models/qwen2.5-coder-7b-instruct.gguf",
        ] {
            assert!(is_same("qwen2.5-coder-7b-instruct", said), "{said}");
        }
        for other in ["qwen2.5-coder-7b", "qwen2.5-coder-14b-instruct", "", "gpt-4"] {
            let answer = Completion { model: Some(other.to_owned()), ..Completion::default() };
            assert!(session(1).check(&answer).is_err(), "{other}");
        }
        assert_eq!(session(1).check(&Completion::default()), Ok(()));
    }

    #[test]
    fn a_question_and_its_answer_fit_the_context() {
        let settings = Section::default().settings().unwrap();
        for context in [SMALLEST_CONTEXT, 4096, 8192, 262_144] {
            let session = session(context);
            let question = session.facts_limit(0) / BYTES_PER_TOKEN + (2 << 10) / BYTES_PER_TOKEN;
            let answer = session.answer_tokens(&settings) as usize;
            assert!(question + answer <= context as usize, "{context}: {question} + {answer}");
            assert_eq!(session.facts_limit(1), session.facts_limit(0) / 2);
        }
        assert_eq!(session(262_144).facts_limit(0), LONGEST);
    }
}
