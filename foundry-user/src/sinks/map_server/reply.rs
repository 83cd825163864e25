//! Answers: JSON, text, files, ranges.
//!
//! Knows: HTTP. Must never know: what is in the answer.

use crate::wire_map::to_json;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use std::io::Write;

/// Below this, compressing costs more than it saves.
const LEAST_COMPRESSED: usize = 2048;

pub(super) fn with(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response {
    with(status, "text/plain; charset=utf-8", text)
}

pub(super) fn json<T: Serialize>(headers: &HeaderMap, value: &T) -> Response {
    let body = to_json(value);
    let wanted = body.len() >= LEAST_COMPRESSED && takes_gzip(headers);
    if let Some(small) = wanted.then(|| gzip(&body)).flatten() {
        let mut response = with(StatusCode::OK, "application/json", small);
        let encoding = HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, encoding);
        return response;
    }
    with(StatusCode::OK, "application/json", body)
}

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
}

pub(super) fn problem(status: StatusCode, what: &str) -> Response {
    with(status, "application/json", to_json(&Problem { error: what }))
}

pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.split(',').any(|one| one.trim().starts_with("gzip")))
}

pub(super) fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let out = Vec::with_capacity(bytes.len() / 3);
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(5));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// A quoted hash of a body.
pub(super) fn etag(body: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(body).to_hex()[..32])
}

/// Whether the client has this already. Whether a tag is a weak one makes no difference here.
pub(super) fn has(headers: &HeaderMap, etag: &str) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|one| plain(one) == plain(etag)))
}

/// Whether parts may be sent to a client that has others already: those must be of the same bytes.
pub(super) fn continues(headers: &HeaderMap, etag: &str) -> bool {
    headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes())
}

/// The one byte range of a `Range` header: start and end, the end not in it.
/// `None` for no range (or one that is ignored), an error for one that lies outside.
pub(super) fn range(headers: &HeaderMap, len: u64) -> Result<Option<(u64, u64)>, ()> {
    let Some(value) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let Some(spec) = value.strip_prefix("bytes=").filter(|spec| !spec.contains(',')) else {
        return Ok(None);
    };
    let Some((first, last)) = spec.split_once('-') else { return Ok(None) };
    let found = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(len)),
        (Ok(first), Err(_)) if last.is_empty() => (first, len),
        (Err(_), Ok(count)) if first.is_empty() => (len.saturating_sub(count), len),
        _ => return Ok(None),
    };
    if found.0 < found.1 { Ok(Some(found)) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_rfc_9110_has_it() {
        let with = |name, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            headers
        };
        for (said, etag, same) in [
            ("\"a\"", "\"a\"", true),
            ("W/\"a\"", "\"a\"", true),
            ("\"b\", \"a\"", "W/\"a\"", true),
            ("\"b\"", "\"a\"", false),
        ] {
            assert_eq!(has(&with(header::IF_NONE_MATCH, said), etag), same, "{said} {etag}");
        }
        assert!(continues(&HeaderMap::new(), "\"a\""));
        assert!(continues(&with(header::IF_RANGE, "\"a\""), "\"a\""));
        assert!(!continues(&with(header::IF_RANGE, "W/\"a\""), "\"a\""));
        assert!(!continues(&with(header::IF_RANGE, "Fri, 20 Nov 2026 14:00:00 GMT"), "\"a\""));
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        for (spec, len, want) in [
            ("bytes=0-15", 100, Ok(Some((0, 16)))),
            ("bytes=90-", 100, Ok(Some((90, 100)))),
            ("bytes=-10", 100, Ok(Some((90, 100)))),
            ("bytes=5-500", 100, Ok(Some((5, 100)))),
            ("bytes=100-", 100, Err(())),
            ("bytes=-0", 100, Err(())),
            ("bytes=7-3", 100, Ok(None)),
            ("bytes=0-1,5-6", 100, Ok(None)),
            ("lines=0-1", 100, Ok(None)),
            ("bytes=18446744073709551615-", 100, Err(())),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_str(spec).unwrap());
            assert_eq!(range(&headers, len), want, "{spec}");
        }
    }
}
