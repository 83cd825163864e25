//! Asking one question, and what follows from how that ended.
//!
//! Knows: jobs, answers, failures. Must never know: when it is time to ask.
//! Keeps: an answer is kept only if it is valid and of the model that was asked; a job is blamed for
//! what is its own fault, the server for the rest.

use super::{Engine, EngineError, Turn, now_ms};
use crate::annotate::answer::{Annotation, Answer, Source};
use crate::annotate::client::Failure;
use crate::annotate::gather::{Gathered, gather};
use crate::annotate::prompt::{self, Message, Subject};
use crate::annotate::queue::Job;
use crate::annotate::session::Session;
use crate::annotate::{budget, key::Key};
use crate::clock;
use crate::wire_annotate::{self, Completion};

/// So often a question is made shorter before it is given up.
const SHRINKS: u32 = 3;

/// Why a question has no answer.
enum Miss {
    /// The server's fault, or the question's length.
    Failed(Failure),
    /// It was answered twice, and neither time as it should be.
    NoAnswer(String),
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Engine {
    /// Asks the most urgent question.
    pub(super) async fn ask_next(&mut self) -> Result<Turn, EngineError> {
        let Some(session) = self.session.clone() else { return Ok(Turn::Worked) };
        let Some(job) = self.queue.lease(now_ms())? else { return Ok(Turn::Worked) };
        let Some(subject) = self.subject(&job)? else { return Ok(Turn::Worked) };
        let subject = subject.within(session.facts_limit(job.shrunk));
        match self.ask(&session, &subject).await {
            Ok(annotation) => {
                self.queue.finish(&job.key, &annotation)?;
                self.breaker.success();
                self.trouble = None;
            }
            Err(miss) => self.settle(&job, &miss)?,
        }
        Ok(Turn::Worked)
    }

    /// What the question is about, from a brick that still is this question. Bricks that have become
    /// other questions are asked about as that; without any brick the job ends.
    fn subject(&mut self, job: &Job) -> Result<Option<Subject>, EngineError> {
        for path in &job.places {
            match gather(&self.store, path, &self.settings) {
                Some(Gathered { want, subject }) if want.key == job.key => {
                    return Ok(Some(subject));
                }
                Some(other) => drop(self.queue.want(&other.want)?),
                None => self.queue.forget(path)?,
            }
        }
        // There may be more places than a lease names.
        self.give_back_or_drop(&job.key, job.places.is_empty())?;
        Ok(None)
    }

    fn give_back_or_drop(&self, key: &Key, drop_it: bool) -> Result<(), EngineError> {
        if drop_it {
            self.queue.drop_job(key)?;
        } else {
            self.queue.give_back(key)?;
        }
        Ok(())
    }

    async fn ask(&mut self, session: &Session, subject: &Subject) -> Result<Annotation, Miss> {
        let question = prompt::question(subject, &self.chance.nonce());
        let first = self.exchange(session, &question).await?;
        let answer = match understood(&first) {
            Ok(answer) => answer,
            Err(why) => {
                let again = prompt::repair(question, &first.text, &why);
                let second = self.exchange(session, &again).await?;
                understood(&second).map_err(Miss::NoAnswer)?
            }
        };
        let source = Source {
            model: session.model.clone(),
            constrained: session.constrained,
            prompt_version: prompt::VERSION,
            at_ns: clock::wall().0,
        };
        Ok(answer.grounded(subject, source))
    }

    async fn exchange(
        &mut self,
        session: &Session,
        messages: &[Message],
    ) -> Result<Completion, Miss> {
        let schema = session.takes_schema.then(wire_annotate::schema);
        let tokens = session.answer_tokens(&self.settings);
        let request = wire_annotate::request(&session.model, messages, tokens, schema);
        let bytes = request.len();
        let completion = self.client.complete(request).await?;
        session.check(&completion)?;
        let took = completion.tokens.unwrap_or(((bytes + completion.text.len()) / 4) as u64);
        budget::spend(&self.queue, took, now_ms())
            .map_err(|e| Failure::Server(format!("the queue failed: {e}")))?;
        Ok(completion)
    }

    /// What becomes of a job without an answer.
    fn settle(&mut self, job: &Job, miss: &Miss) -> Result<(), EngineError> {
        let failure = match miss {
            Miss::NoAnswer(why) => {
                // The server did its part.
                self.breaker.success();
                let why = format!("no valid answer, twice: {why}");
                return Ok(self.queue.put_aside(&job.key, &why)?);
            }
            Miss::Failed(failure) => failure,
        };
        let why = failure.to_string();
        match failure {
            Failure::TooLong(_) if job.shrunk < SHRINKS => self.queue.shrink(&job.key, &why)?,
            Failure::TooLong(_) | Failure::Request(_) => self.queue.put_aside(&job.key, &why)?,
            Failure::Nobody(_) | Failure::Refused(_) => {
                self.blame_server(failure);
                self.queue.give_back(&job.key)?;
            }
            Failure::Server(_) | Failure::OtherModel(_) => {
                self.blame_server(failure);
                let pace = self.settings.pace;
                if pace.attempts <= job.attempts + 1 {
                    self.queue.put_aside(&job.key, &why)?;
                } else {
                    let wait = self.chance.wait_ms(pace.retry_ms, pace.retry_cap_ms, job.attempts);
                    let wait = i64::try_from(wait).unwrap_or(i64::MAX);
                    self.queue.retry(&job.key, now_ms().saturating_add(wait), &why)?;
                }
            }
        }
        Ok(())
    }
}

/// The answer in a completion, or what is wrong with it.
fn understood(completion: &Completion) -> Result<Answer, String> {
    wire_annotate::answer(&completion.text).map_err(|why| {
        let why = crate::annotate::answer::plain(&why, 200);
        if completion.cut { format!("it was cut off for its length ({why})") } else { why }
    })
}
