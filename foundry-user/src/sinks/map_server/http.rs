//! The API of API.md.
//!
//! Knows: paths and parameters. Must never know: how a tile is made, what the page is.
//! Keeps: nothing that reads a disk runs on the threads that answer.

use super::compose::{Place, Plan};
use super::layout::NodeId;
use super::metrics::{Gauges, Metrics};
use super::views::{ChainView, ListView, WorldView};
use super::{Shared, artifacts, assets, container, memory, reply, search, socket};
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::get;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

type App = State<Arc<Shared>>;

/// Longest time one search takes.
const SEARCH_TIME: Duration = Duration::from_secs(2);

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/world", get(world))
        .route("/api/v1/nodes/{id}", get(nodes))
        .route("/api/v1/at/{index}", get(at))
        .route("/api/v1/path", get(path))
        .route("/api/v1/tiles/{level}/{index}", get(tile))
        .route("/api/v1/artifacts/{id}/{what}", get(artifact))
        .route("/api/v1/search", get(find))
        .route("/api/v1/status", get(status))
        .route("/api/v1/live", get(socket::live))
        .route("/metrics", get(metrics))
        .fallback(get(asset))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), super::guard::guard))
        .with_state(shared)
}

/// Parameters of a query; of several of one name, the last.
struct Query(BTreeMap<String, String>);

impl Query {
    fn new(raw: Option<&str>) -> Self {
        let pairs = raw.unwrap_or_default().split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        Self(pairs.collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

/// Percent-decoded text; `None` where it is not valid.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn not_found(what: &str) -> Response {
    reply::problem(StatusCode::NOT_FOUND, what)
}

fn bad(what: &str) -> Response {
    reply::problem(StatusCode::BAD_REQUEST, what)
}

/// Runs what reads disks where it holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

async fn world(State(shared): App, headers: HeaderMap) -> Response {
    let view = WorldView::new(&shared.world(), &shared.host, &shared.roots, true);
    reply::json(&headers, &view)
}

async fn nodes(
    State(shared): App,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Query::new(query.as_deref());
    let Ok(id) = id.parse::<NodeId>() else { return bad("a node's id is a number below 2^32") };
    let limit = usize::try_from(query.number("limit").unwrap_or(2000).clamp(1, 10_000));
    let after = query.number("after").and_then(|after| NodeId::try_from(after).ok());
    let view = ListView::new(&shared.world(), id, after, limit.unwrap_or(2000));
    match view {
        Some(view) => reply::json(&headers, &view),
        None => not_found(&format!("no node {id}")),
    }
}

async fn at(State(shared): App, Path(index): Path<String>, headers: HeaderMap) -> Response {
    let Some(index) = index.parse::<u64>().ok().filter(|i| *i < super::layout::WORLD_END) else {
        return bad("an index is a number below 2^50");
    };
    let view = ChainView::at(&shared.world(), index);
    chain(&shared, &headers, view).await
}

async fn path(State(shared): App, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = Query::new(query.as_deref());
    let Some(path) = query.text("path") else { return bad("path=/... is missing") };
    let view = {
        let world = shared.world();
        world.layout.find(path.as_bytes()).map(|id| ChainView::to(&world, id))
    };
    match view {
        Some(view) => chain(&shared, &headers, view).await,
        None => not_found("nothing of that path is on the map"),
    }
}

/// Adds the region at the offset, where there is one.
async fn chain(shared: &Arc<Shared>, headers: &HeaderMap, mut view: ChainView) -> Response {
    if let Some(offset) = view.offset {
        let bricks = shared.bricks.clone();
        let path = view.path.clone();
        let found = blocking(move || artifacts::region_at(&bricks, path.as_bytes(), offset)).await;
        view.region = found.flatten();
    }
    reply::json(headers, &view)
}

async fn tile(
    State(shared): App,
    Path((level, index)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let place = level.parse().ok().zip(index.parse().ok());
    let Some(place) = place.and_then(|(level, index)| Place::new(level, index)) else {
        return bad("there is no such tile");
    };
    let query = Query::new(query.as_deref());
    let back = query.text("at").and_then(|at| {
        let (node, generation) = at.split_once(':')?;
        Some((node.parse().ok()?, generation.parse().ok()?))
    });
    let Ok(_permit) = shared.composers.acquire().await else {
        return reply::problem(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
    };
    let worker = Arc::clone(&shared);
    let composed = blocking(move || {
        let begun = crate::clock::monotonic();
        let (plan, epoch) = {
            let world = worker.world();
            (Plan::new(&world, place, back), world.epoch)
        };
        let touched = plan.touched;
        let body = plan.compose(&worker.bricks);
        let took = crate::clock::monotonic().0.saturating_sub(begun.0);
        Metrics::add(&worker.metrics.tile_nanoseconds, took);
        (body, touched, epoch)
    })
    .await;
    let Some((body, touched, epoch)) = composed else {
        return reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "the tile could not be composed");
    };
    let etag = super::compose::etag(&body);
    let lasts = query.text("epoch") == Some(epoch.to_string().as_str())
        && query.number("seq").is_some_and(|seq| seq >= touched);
    let mut response = if reply::has(&headers, &etag) {
        Metrics::add(&shared.metrics.not_modified, 1);
        reply::with(StatusCode::NOT_MODIFIED, "application/octet-stream", "")
    } else {
        Metrics::add(&shared.metrics.tiles, 1);
        Metrics::add(&shared.metrics.tile_bytes, body.len() as u64);
        packed(&shared, &headers, body).await
    };
    let cache = if lasts { "private, max-age=31536000, immutable" } else { "no-cache" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// A tile on its way: compressed where the way is longer than the machine.
async fn packed(shared: &Shared, headers: &HeaderMap, body: Vec<u8>) -> Response {
    const KIND: &str = "application/octet-stream";
    // On loopback compressing takes longer than sending; `shared` knows where it listens.
    if shared.listen.ip().is_loopback() || !reply::takes_gzip(headers) {
        return reply::with(StatusCode::OK, KIND, body);
    }
    let small = blocking(move || reply::gzip(&body).ok_or(body)).await;
    let mut response = match small {
        Some(Ok(small)) => reply::with(StatusCode::OK, KIND, small),
        Some(Err(body)) => return reply::with(StatusCode::OK, KIND, body),
        None => return reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "it failed"),
    };
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

async fn artifact(
    State(shared): App,
    Path((id, what)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = id.parse::<NodeId>() else { return bad("a node's id is a number below 2^32") };
    let found = {
        let world = shared.world();
        world
            .layout
            .node(id)
            .map(|node| (world.layout.path(id), node.size, ChainView::to(&world, id)))
            .map(|(path, size, chain)| (path, size, chain, world.processes()))
    };
    let Some((path, size, chain, processes)) = found else {
        return not_found(&format!("no node {id}"));
    };
    let query = Query::new(query.as_deref());
    let bricks = shared.bricks.clone();
    let answer = blocking(move || match what.as_str() {
        "about" => match artifacts::about(&bricks, &path) {
            Ok(about) => reply::json(&headers, &about),
            // What has no brick of its own still has a place.
            Err(_) => reply::json(&headers, &chain),
        },
        "regions" => {
            let span = (query.number("from").unwrap_or(0), query.number("to").unwrap_or(u64::MAX));
            let limit = query.number("limit").unwrap_or(2000).clamp(1, 20_000);
            let limit = usize::try_from(limit).unwrap_or(2000);
            answer(&headers, artifacts::regions(&bricks, &path, span, limit))
        }
        "writers" => answer(&headers, artifacts::writers(&bricks, &path)),
        "diff" => match (query.number("from"), query.number("to")) {
            (Some(from), Some(to)) => answer(&headers, artifacts::diff(&bricks, &path, from, to)),
            _ => bad("from=GENERATION and to=GENERATION are missing"),
        },
        "bytes" => {
            let at = query.number("at").unwrap_or(0);
            let len = query.number("len").unwrap_or(4096).min(size.saturating_sub(at));
            content(artifacts::bytes(&bricks, &path, at, len))
        }
        "page" => {
            let at = query.number("at").unwrap_or(0);
            match memory::page_at(&bricks, &path, at) {
                Ok(Some(page)) => reply::json(&headers, &page),
                Ok(None) => not_found("no page is there: only a process has pages"),
                Err(error) => not_found(&error.to_string()),
            }
        }
        "mapped" => {
            let at = query.number("at").unwrap_or(0);
            reply::json(&headers, &memory::mapped(&bricks, &processes, &path, at))
        }
        "brick" => container::serve(&headers, &bricks.file(&path)),
        _ => not_found(
            "an artifact has about, regions, writers, diff, bytes, page, mapped and brick",
        ),
    })
    .await;
    answer_or_error(answer)
}

fn answer_or_error(answer: Option<Response>) -> Response {
    answer.unwrap_or_else(|| reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "it failed"))
}

fn answer<T: serde::Serialize>(
    headers: &HeaderMap,
    found: Result<T, super::bricks::BrickError>,
) -> Response {
    match found {
        Ok(value) => reply::json(headers, &value),
        Err(error) => not_found(&error.to_string()),
    }
}

fn content(found: Result<artifacts::Bytes, super::bricks::BrickError>) -> Response {
    let found = match found {
        Ok(found) => found,
        Err(error) => return not_found(&error.to_string()),
    };
    let source = if found.from_artifact { "artifact" } else { "brick" };
    let mut response = reply::with(StatusCode::OK, "application/octet-stream", found.bytes);
    let headers = response.headers_mut();
    let name = header::HeaderName::from_static("foundry-source");
    headers.insert(name, HeaderValue::from_static(source));
    if found.differs {
        let name = header::HeaderName::from_static("foundry-differs");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    response
}

async fn find(State(shared): App, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = Query::new(query.as_deref());
    let words = query.text("q").unwrap_or_default().chars().take(500).collect::<String>();
    let Some(parsed) = search::Query::parse(&words) else {
        return bad("q= is missing: what is looked for");
    };
    let Ok(_permit) = shared.composers.acquire().await else {
        return reply::problem(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
    };
    let worker = Arc::clone(&shared);
    let hits = blocking(move || {
        let limit = u64::try_from(SEARCH_TIME.as_nanos()).unwrap_or(u64::MAX);
        let until = crate::clock::monotonic().0.saturating_add(limit);
        let expired = || crate::clock::monotonic().0 > until;
        search::search(&worker.world, &worker.bricks, &words, &parsed, &expired)
    })
    .await;
    answer_or_error(hits.map(|hits| reply::json(&headers, &hits)))
}

#[derive(serde::Serialize)]
struct Status {
    epoch: String,
    seq: u64,
    clients: usize,
    artifacts: u64,
    folded: u64,
    scanning: bool,
}

async fn status(State(shared): App, headers: HeaderMap) -> Response {
    let status = {
        let world = shared.world();
        Status {
            epoch: world.epoch.to_string(),
            seq: world.seq,
            clients: shared.hub.clients(),
            artifacts: world.artifacts(),
            folded: world.folded,
            scanning: world.scanning,
        }
    };
    reply::json(&headers, &status)
}

async fn metrics(State(shared): App) -> Response {
    let gauges = {
        let world = shared.world.read().unwrap_or_else(PoisonError::into_inner);
        Gauges {
            clients: shared.hub.clients() as u64,
            artifacts: world.artifacts(),
            folded: world.folded,
            nodes: world.layout.len() as u64,
            seq: world.seq,
        }
    };
    let text = shared.metrics.text(gauges);
    reply::with(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
}

async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    if uri.path().starts_with("/api/") {
        return not_found("API.md has no such path");
    }
    match assets::serve(&headers, uri.path()) {
        Some(response) => response,
        None => reply::text(StatusCode::NOT_FOUND, "there is nothing of that name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_or_left_out() {
        let query = Query::new(Some("a=%2Fx+y&b=%zz&c&d=12&d=13"));
        assert_eq!(query.text("a"), Some("/x y"));
        assert_eq!(query.text("b"), None);
        assert_eq!(query.text("c"), Some(""));
        assert_eq!(query.number("d"), Some(13));
    }
}
