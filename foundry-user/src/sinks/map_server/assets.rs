//! The map itself: the files of `foundry-web/dist`, in the program.
//!
//! Knows: file names and kinds. Must never know: what the page does.

use super::reply;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use include_dir::{Dir, include_dir};

static DIST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../foundry-web/dist");

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Every file of the page: its path and its content.
pub(super) fn files() -> Vec<(&'static str, &'static [u8])> {
    let mut dirs = vec![&DIST];
    let mut found = vec![];
    while let Some(dir) = dirs.pop() {
        dirs.extend(dir.dirs());
        found.extend(dir.files().filter_map(|file| Some((file.path().to_str()?, file.contents()))));
    }
    found
}

/// The file at a path of the page, `/` being its first.
pub(super) fn serve(headers: &HeaderMap, path: &str) -> Option<Response> {
    let path = if path == "/" { "index.html" } else { path.strip_prefix('/')? };
    let file = DIST.get_file(path)?.contents();
    let etag = reply::etag(file);
    if reply::has(headers, &etag) {
        return Some(tagged(reply::with(StatusCode::NOT_MODIFIED, kind(path), ""), &etag, path));
    }
    let small = if reply::takes_gzip(headers) { reply::gzip(file) } else { None };
    let response = match small {
        Some(small) => {
            let mut response = reply::with(StatusCode::OK, kind(path), small);
            let encoding = HeaderValue::from_static("gzip");
            response.headers_mut().insert(header::CONTENT_ENCODING, encoding);
            response
        }
        None => reply::with(StatusCode::OK, kind(path), file),
    };
    Some(tagged(response, &etag, path))
}

fn tagged(mut response: Response, etag: &str, path: &str) -> Response {
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    // Names under assets/ hold a hash of their content.
    let lasts = path.starts_with("assets/");
    let cache = if lasts { "private, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
