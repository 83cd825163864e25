//! The JSON of a model server, and of annotations.
//!
//! Knows: the OpenAI form of a chat as LM Studio, Ollama and llama.cpp speak it, and the form of an
//! annotation in a brick. Must never know: connections, queues.
//! Keeps: what comes from a server is parsed, never trusted: an answer is valid by the schema that was
//! sent, whatever the server claims about it.

use crate::annotate::answer::{Annotation, Answer, CAPABILITIES, CATEGORIES, Claim, RISKS};
use crate::annotate::prompt::{Fact, Message, Role};
use crate::annotate::status::Status;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Version of an annotation's form in a brick.
pub const VERSION: u64 = 1;

/// The facts of a question: ASCII, and without the characters that a delimiter is made of.
pub(crate) fn facts(facts: &[Fact]) -> String {
    let text = serde_json::to_string(facts).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '<' | '>' | '&') || !c.is_ascii() || c == '\u{7f}' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The fields of an answer, in words.
pub(crate) fn fields() -> String {
    format!(
        "summary (one or two sentences), purpose (one sentence), category (one of {}), capabilities \
         (a list of {{name, evidence}}, name is one of {}), risk (one of {}), risk_reasons (a list of \
         {{reason, evidence}}), confidence (0 to 1)",
        CATEGORIES.join(", "),
        CAPABILITIES.join(", "),
        RISKS.join(", "),
    )
}

/// The schema of an answer: closed, everything required, which every grammar engine understands.
pub(crate) fn schema() -> Value {
    let object = |properties: Value| {
        let names: Vec<Value> = properties
            .as_object()
            .map(|p| p.keys().cloned().map(Value::from).collect())
            .unwrap_or_default();
        json!({
            "type": "object",
            "properties": properties,
            "required": names,
            "additionalProperties": false,
        })
    };
    let text = json!({ "type": "string" });
    let ids = json!({ "type": "array", "items": text });
    let capability = object(json!({
        "name": { "type": "string", "enum": CAPABILITIES },
        "evidence": ids,
    }));
    let reason = object(json!({ "reason": text, "evidence": ids }));
    object(json!({
        "summary": text,
        "purpose": text,
        "category": { "type": "string", "enum": CATEGORIES },
        "capabilities": { "type": "array", "items": capability },
        "risk": { "type": "string", "enum": RISKS },
        "risk_reasons": { "type": "array", "items": reason },
        "confidence": { "type": "number", "minimum": 0, "maximum": 1 },
    }))
}

/// The schema of the question that shows whether a server enforces schemas.
pub(crate) fn probe_schema() -> Value {
    json!({
        "type": "object",
        "properties": { "colour": { "type": "string", "enum": ["green"] } },
        "required": ["colour"],
        "additionalProperties": false,
    })
}

/// Whether an answer to the probe is what the schema allows.
pub(crate) fn is_probe_answer(text: &str) -> bool {
    let object = object_in(text).and_then(|object| serde_json::from_str::<Value>(object).ok());
    object == Some(json!({ "colour": "green" }))
}

/// A request for a chat completion. The nested form of the schema is the only one that LM Studio,
/// Ollama and llama.cpp all enforce.
pub(crate) fn request(
    model: &str,
    messages: &[Message],
    max_tokens: u32,
    schema: Option<Value>,
) -> Vec<u8> {
    let role = |role| match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let messages: Vec<Value> =
        messages.iter().map(|m| json!({ "role": role(m.role), "content": m.text })).collect();
    let mut body = json!({
        "model": model,
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": 0,
        "seed": 1,
        "stream": false,
    });
    if let (Some(schema), Value::Object(body)) = (schema, &mut body) {
        let format = json!({ "name": "annotation", "strict": true, "schema": schema });
        let format = json!({ "type": "json_schema", "json_schema": format });
        body.insert("response_format".to_owned(), format);
        // Thinking costs tokens that no schema holds. Servers that do not know it ignore it.
        body.insert("reasoning_effort".to_owned(), "none".into());
    }
    body.to_string().into_bytes()
}

/// What a server says of one of its models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) id: String,
    /// Tokens, where it says so.
    pub(crate) context: Option<u32>,
}

/// The answer to `GET /v1/models`.
pub(crate) fn models(body: &[u8]) -> Option<Vec<Model>> {
    let list: Value = serde_json::from_slice(body).ok()?;
    let one = |m: &Value| {
        let id = m.get("id")?.as_str()?.to_owned();
        Some(Model { id, context: None })
    };
    Some(list.get("data")?.as_array()?.iter().filter_map(one).collect())
}

/// The context that `model` really has, from whichever of the native documents this is: LM Studio's
/// `/api/v1/models` and `/api/v0/models`, or llama.cpp's `/props`.
pub(crate) fn context(body: &[u8], model: &str) -> Option<u32> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let tokens = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| 0 < *n);
    if let Some(n) = document.pointer("/default_generation_settings/n_ctx").and_then(tokens) {
        return Some(n);
    }
    let list = document.get("models").or_else(|| document.get("data"))?.as_array()?;
    let is_it = |m: &&Value| {
        ["id", "key"].iter().any(|name| m.get(*name).and_then(Value::as_str) == Some(model))
    };
    let it = list.iter().find(is_it)?;
    let loaded = it.pointer("/loaded_instances/0/config/context_length");
    loaded.or_else(|| it.get("loaded_context_length")).and_then(tokens)
}

/// What a chat completion says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Completion {
    /// Which model it says it is.
    pub(crate) model: Option<String>,
    /// The answer, from wherever the server put it.
    pub(crate) text: String,
    /// It ended because it was long enough, not because it was done.
    pub(crate) cut: bool,
    /// Tokens of question and answer, where it says so.
    pub(crate) tokens: Option<u64>,
}

#[derive(Deserialize)]
struct ChatReply {
    model: Option<String>,
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: ChatMessage,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct ChatMessage {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: Option<u64>,
}

/// The answer to `POST /v1/chat/completions`; `None` where it is not whole.
pub(crate) fn completion(body: &[u8]) -> Option<Completion> {
    let reply: ChatReply = serde_json::from_slice(body).ok()?;
    let choice = reply.choices.into_iter().next()?;
    let ChatMessage { content, reasoning_content, reasoning } = choice.message;
    // Some servers put what a thinking model answered where its thoughts belong.
    let text = [content, reasoning_content, reasoning]
        .into_iter()
        .flatten()
        .find(|text| !text.trim().is_empty())
        .unwrap_or_default();
    Some(Completion {
        model: reply.model,
        text,
        cut: choice.finish_reason.as_deref() == Some("length"),
        tokens: reply.usage.and_then(|u| u.total_tokens),
    })
}

/// What a server says was wrong, in at most 200 characters.
pub(crate) fn complaint(body: &[u8]) -> String {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = document.get("error").unwrap_or(&document);
    let text = error.get("message").unwrap_or(error).as_str().map(str::to_owned);
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    crate::annotate::answer::plain(&text, 200)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    summary: String,
    purpose: String,
    category: String,
    capabilities: Vec<RawCapability>,
    risk: String,
    risk_reasons: Vec<RawReason>,
    confidence: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCapability {
    name: String,
    evidence: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReason {
    reason: String,
    evidence: Vec<String>,
}

/// An answer that is valid by [`schema`], or what is wrong with it.
pub(crate) fn answer(text: &str) -> Result<Answer, String> {
    let object = object_in(text).ok_or("it holds no JSON object")?;
    let raw: RawAnswer = serde_json::from_str(object).map_err(|e| e.to_string())?;
    let known = |word: &str, words: &[&str], field: &str| {
        let found = words.contains(&word);
        if found { Ok(()) } else { Err(format!("`{field}` must be one of {}", words.join(", "))) }
    };
    known(&raw.category, CATEGORIES, "category")?;
    known(&raw.risk, RISKS, "risk")?;
    for capability in &raw.capabilities {
        known(&capability.name, CAPABILITIES, "capabilities[].name")?;
    }
    if !(0.0..=1.0).contains(&raw.confidence) {
        return Err("`confidence` must be between 0 and 1".to_owned());
    }
    if raw.summary.trim().is_empty() {
        return Err("`summary` is empty".to_owned());
    }
    let claim = |what, evidence| Claim { what, evidence };
    Ok(Answer {
        summary: raw.summary,
        purpose: raw.purpose,
        category: raw.category,
        capabilities: raw.capabilities.into_iter().map(|c| claim(c.name, c.evidence)).collect(),
        risk: raw.risk,
        reasons: raw.risk_reasons.into_iter().map(|r| claim(r.reason, r.evidence)).collect(),
        confidence: per_cent(raw.confidence),
    })
}

fn per_cent(share: f64) -> u8 {
    (0..=100u8).rev().find(|n| f64::from(*n) <= share * 100.0 + 0.5).unwrap_or(0)
}

/// The object in an answer that may have thoughts in front of it and a fence around it.
fn object_in(text: &str) -> Option<&str> {
    let text = text.rsplit_once("</think>").map_or(text, |(_, after)| after);
    let (start, end) = (text.find('{')?, text.rfind('}')?);
    text.get(start..=end)
}

/// An annotation as it stands in the brick of the artifact whose content has this hash.
#[must_use]
pub fn document(annotation: &Annotation, content: &[u8; 32]) -> Vec<u8> {
    let claims = |claims: &[Claim], name: &str| -> Vec<Value> {
        let one = |c: &Claim| json!({ name: c.what, "evidence": c.evidence });
        claims.iter().map(one).collect()
    };
    let document = json!({
        "version": VERSION,
        "by": "model",
        "summary": annotation.answer.summary,
        "purpose": annotation.answer.purpose,
        "category": annotation.answer.category,
        "capabilities": claims(&annotation.answer.capabilities, "name"),
        "risk": annotation.answer.risk,
        "risk_reasons": claims(&annotation.answer.reasons, "reason"),
        "confidence": f64::from(annotation.answer.confidence) / 100.0,
        "model": annotation.model,
        "prompt_version": annotation.prompt_version,
        "at_ns": annotation.at_ns,
        "constrained": annotation.constrained,
        "dropped_claims": annotation.dropped,
        "content": crate::wire::hex(content),
    });
    document.to_string().into_bytes()
}

/// Whether an annotation was written of this content.
pub(crate) fn is_of(note: &[u8], content: &[u8; 32]) -> bool {
    shown(note, Some(content)).get("current") == Some(&Value::from(true))
}

/// What `inspect` shows of an annotation: the document, and whether it is of the content that the
/// brick shows now.
pub(crate) fn shown(note: &[u8], content: Option<&[u8; 32]>) -> Value {
    let document = serde_json::from_slice::<Map<String, Value>>(note);
    let Ok(mut document) = document else {
        return Value::from(String::from_utf8_lossy(note).into_owned());
    };
    if let Some(of) = document.get("content").and_then(Value::as_str) {
        let current = content.is_some_and(|c| crate::wire::hex(c) == of);
        document.insert("current".to_owned(), current.into());
    }
    document.into()
}

/// An annotation in lines of a name and a value, for a person.
pub(crate) fn lines(note: &[u8], content: Option<&[u8; 32]>) -> Vec<(&'static str, String)> {
    let shown = shown(note, content);
    let text = |name: &str| shown.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if !shown.is_object() {
        return vec![("annotation", shown.as_str().unwrap_or_default().to_owned())];
    }
    let claims = |list: &str, name: &str| -> String {
        let one = |claim: &Value| {
            let evidence = claim.get("evidence")?.as_array()?.iter().filter_map(Value::as_str);
            let evidence: Vec<&str> = evidence.collect();
            Some(format!("{} ({})", claim.get(name)?.as_str()?, evidence.join(" ")))
        };
        let all = shown.get(list).and_then(Value::as_array);
        all.map(|all| all.iter().filter_map(one).collect::<Vec<_>>().join(", ")).unwrap_or_default()
    };
    let confidence = shown.get("confidence").and_then(Value::as_f64).unwrap_or(0.0);
    let stale = shown.get("current") == Some(&Value::from(false));
    let stale = if stale { "; of an EARLIER content" } else { "" };
    let risk = [text("risk"), claims("risk_reasons", "reason")].join(" ");
    [
        ("opinion of", format!("{}, {:.0} % sure{stale}", text("model"), confidence * 100.0)),
        ("  summary", text("summary")),
        ("  purpose", text("purpose")),
        ("  category", text("category")),
        ("  can", claims("capabilities", "name")),
        ("  risk", risk.trim().to_owned()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

/// What `annotate --json` says.
#[must_use]
pub fn status(status: &Status) -> Value {
    json!({
        "enabled": status.enabled,
        "server": status.server,
        "reachable": status.reachable,
        "model": status.model,
        "constrained": status.constrained,
        "context": status.context,
        "waiting": status.counts.waiting,
        "leased": status.counts.leased,
        "failed": status.counts.dead,
        "answers": status.counts.answers,
        "undelivered": status.counts.undelivered,
        "annotated": status.counts.delivered,
        "failures": status.failures,
        "paused": status.paused,
        "jobs_this_hour": status.jobs_this_hour,
        "jobs_per_hour": status.jobs_per_hour,
        "tokens_today": status.tokens_today,
        "tokens_per_day": status.tokens_per_day,
        "daemon": status.daemon,
        "said": status.said,
        "next": status.next,
    })
}

#[cfg(test)]
mod tests;
