//! One exchange with a model server.
//!
//! Knows: HTTP. Must never know: what is asked, the queue.
//! Keeps: no proxy, no redirect, no address but those the endpoint allows; nothing is waited for
//! longer than [`Patience`] says, no body is longer than [`LONGEST_BODY`].

use super::endpoint::{Endpoint, Lookup, NotLoopback};
use super::settings::Patience;
use crate::wire_annotate::{self, Completion, Model};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};
use std::error::Error as StdError;
use std::sync::Arc;
use tokio::time::timeout;

/// Longest answer that is read.
const LONGEST_BODY: usize = 256 << 10;

/// Where servers say how much context a loaded model has.
const NATIVE: [&str; 3] = ["/api/v1/models", "/api/v0/models", "/props"];

/// Why an exchange did not give an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody listens.
    #[error("no model server at {0}")]
    Nobody(String),
    /// It is there and does not do what it should: another time it may.
    #[error("{0}")]
    Server(String),
    /// It is there, with another model than the one that was asked.
    #[error("the server answered with the model `{0}`, which was not asked")]
    OtherModel(String),
    /// It lets nobody in.
    #[error("the model server refuses: {0}")]
    Refused(String),
    /// The question is longer than its context.
    #[error("the question is too long for the model: {0}")]
    TooLong(String),
    /// It does not understand the question.
    #[error("the model server does not take the question: {0}")]
    Request(String),
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
    patience: Patience,
}

impl Client {
    /// Connects to nothing yet.
    pub(super) fn new(
        endpoint: &Endpoint,
        patience: Patience,
        lookup: Lookup,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(Arc::new(endpoint.resolver(lookup)))
            .connect_timeout(patience.connect)
            .http1_only()
            .user_agent(concat!("foundry/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, endpoint: endpoint.clone(), patience })
    }

    /// The server's models.
    pub(super) async fn models(&self) -> Result<Vec<Model>, Failure> {
        let body = self.exchange(Method::GET, "/v1/models", None).await?;
        let none = || Failure::Server("the server's list of models makes no sense".to_owned());
        wire_annotate::models(&body).ok_or_else(none)
    }

    /// Tokens of context that `model` has there, where any of the native documents says so.
    pub(super) async fn context(&self, model: &str) -> Option<u32> {
        for path in NATIVE {
            if let Ok(body) = self.exchange(Method::GET, path, None).await
                && let Some(tokens) = wire_annotate::context(&body, model)
            {
                return Some(tokens);
            }
        }
        None
    }

    /// A chat completion.
    pub(super) async fn complete(&self, request: Vec<u8>) -> Result<Completion, Failure> {
        let body = self.exchange(Method::POST, "/v1/chat/completions", Some(request)).await?;
        let cut =
            || Failure::Server("the server's answer was cut off, or makes no sense".to_owned());
        wire_annotate::completion(&body).ok_or_else(cut)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Failure> {
        let whole = timeout(self.patience.total, self.within(method, path, body));
        whole.await.unwrap_or_else(|_| Err(late("took too long to answer")))
    }

    async fn within(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.endpoint.base()));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let first = timeout(self.patience.first_byte, request.send()).await;
        let response = first
            .map_err(|_| late("did not begin to answer in time"))?
            .map_err(|e| self.unsent(&e))?;
        // The resolver and the configuration have seen to it; this is the last look.
        if response.remote_addr().is_none_or(|a| !self.endpoint.may_be(a.ip())) {
            return Err(Failure::Refused("it answered from another machine".to_owned()));
        }
        let status = response.status();
        let body = self.body(response).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let piece = timeout(self.patience.idle, response.chunk()).await;
            let piece = piece.map_err(|_| late("stopped in the middle of its answer"))?;
            match piece.map_err(|_| late("broke off in the middle of its answer"))? {
                None => return Ok(body),
                Some(piece) if body.len() + piece.len() <= LONGEST_BODY => {
                    body.extend_from_slice(&piece);
                }
                Some(_) => return Err(late("sent more than an answer can be")),
            }
        }
    }

    fn unsent(&self, error: &reqwest::Error) -> Failure {
        let mut cause: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(inner) = cause {
            if let Some(refused) = inner.downcast_ref::<NotLoopback>() {
                return Failure::Refused(refused.to_string());
            }
            cause = inner.source();
        }
        if error.is_connect() {
            return Failure::Nobody(self.endpoint.base().to_owned());
        }
        late("closed the connection without an answer")
    }
}

fn late(what: &str) -> Failure {
    Failure::Server(format!("the server {what}"))
}

/// An answer that is not one, by its status.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let said = wire_annotate::complaint(body);
    let text = format!("{} {said}", status.as_u16()).trim().to_owned();
    let about_the_model = ["unloaded", "crash", "failed to load", "channel error", "no models"];
    let about_length = ["context", "too long", "exceed", "n_ctx"];
    match status.as_u16() {
        300..=399 => Failure::Server(format!("the server points elsewhere ({text}): not followed")),
        401 | 403 => Failure::Refused(text),
        413 => Failure::TooLong(text),
        // LM Studio says so when a model was unloaded under its client, or died.
        400 | 422 if about_the_model.iter().any(|w| said.to_lowercase().contains(w)) => {
            Failure::Server(format!("the server answered {text}"))
        }
        400 | 422 if about_length.iter().any(|w| said.to_lowercase().contains(w)) => {
            Failure::TooLong(text)
        }
        400 | 422 => Failure::Request(text),
        _ => Failure::Server(format!("the server answered {text}")),
    }
}
