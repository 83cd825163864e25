//! Who may ask: the key, the host, the origin, and what a page may do.
//!
//! Knows: headers. Must never know: what is asked for.
//! Keeps: without the key nothing is said but that it is missing; another site's page gets nothing.

use super::Shared;
use super::metrics::Metrics;
use super::reply;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::net::IpAddr;
use std::sync::Arc;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// The policy as a page may state it itself: frames are a matter of headers alone.
pub(super) fn page_policy() -> &'static str {
    POLICY.split_once("; frame-ancestors").map_or(POLICY, |(policy, _)| policy)
}

pub(super) async fn guard(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match refuse(&shared, &request) {
        Some(response) => {
            Metrics::add(&shared.metrics.refused, 1);
            response
        }
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = header::HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// The answer to a request that must not go on.
fn refuse(shared: &Shared, request: &Request) -> Option<Response> {
    let headers = request.headers();
    let host = one(headers, header::HOST).unwrap_or_default();
    if !host_is_ours(host, shared.listen.ip()) {
        let text = "this server does not go by that name; use the link the daemon printed";
        return Some(reply::text(StatusCode::MISDIRECTED_REQUEST, text));
    }
    let origin = one(headers, header::ORIGIN);
    if origin.is_some_and(|origin| origin != format!("http://{host}")) {
        return Some(reply::text(StatusCode::FORBIDDEN, "another site's page asks in vain"));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Some(reply::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"));
    }
    if request.uri().path() == "/" && key(request.uri().query()).is_some_and(|k| shared.is_key(k)) {
        return Some(welcome(shared));
    }
    if !has_key(shared, headers) {
        let text = "open the link the daemon printed: it carries the key";
        return Some(reply::text(StatusCode::UNAUTHORIZED, text));
    }
    None
}

/// The single value of a header; several are as bad as none.
fn one(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// A name that another site could have made point here is not ours.
fn host_is_ours(host: &str, listen: IpAddr) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        // A tunnel's end is a loopback address with a port of its own.
        Ok(address) => address == listen || address.is_loopback() || listen.is_unspecified(),
        Err(_) => bare == "localhost" && (listen.is_loopback() || listen.is_unspecified()),
    }
}

fn key(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix("key="))
}

fn has_key(shared: &Shared, headers: &HeaderMap) -> bool {
    let bearer = one(headers, header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookie = cookies
        .flat_map(|value| value.split("; "))
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == shared.cookie_name())
        .map(|(_, value)| value);
    bearer.or(cookie).is_some_and(|key| shared.is_key(key))
}

fn welcome(shared: &Shared) -> Response {
    let mut response = reply::text(StatusCode::SEE_OTHER, "");
    let cookie =
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict", shared.cookie_name(), shared.key);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_static("/"));
    headers.remove(header::CONTENT_TYPE);
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_answered() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        for (host, ours) in [
            ("127.0.0.1:7878", true),
            ("localhost:9999", true),
            ("[::1]:7878", true),
            ("localhost", true),
            ("example.com:7878", false),
            ("localhost.example.com", false),
            ("10.0.0.7:7878", false),
            ("", false),
        ] {
            assert_eq!(host_is_ours(host, loopback), ours, "{host}");
        }
        let everywhere: IpAddr = "0.0.0.0".parse().unwrap();
        assert!(host_is_ours("10.0.0.7:7878", everywhere));
        assert!(!host_is_ours("rebound.example:7878", everywhere));
    }
}
