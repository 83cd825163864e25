//! The brick itself over HTTP: ranges that a client may put together.
//!
//! Knows: files of bricks, ranges, tags. Must never know: what a client does with them.
//! Keeps: the tag names exactly the bytes that are sent with it; where a commit came between, it is
//! read again, and where commits do not stop, no tag is given.

use super::bricks::{self, ReadFile};
use super::reply;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use foundry_brick::Brick;
use std::io;
use std::path::Path;

const KIND: &str = "application/octet-stream";
/// Most bytes of one answer.
const MOST: u64 = 64 << 20;
/// How often a brick is read that changes while it is read.
const TRIES: u32 = 3;

/// Which bytes the file at `path` holds now, and how many.
fn state(path: &Path) -> io::Result<(String, u64, ReadFile)> {
    let (file, mtime_ns) = bricks::open_to_read(path)?;
    let len = file.size();
    let brick = Brick::open(file).map_err(io::Error::other)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&brick.epoch());
    for number in [brick.generation(), len, mtime_ns.cast_unsigned()] {
        hasher.update(&number.to_le_bytes());
    }
    let tag = format!("\"{}\"", &hasher.finalize().to_hex()[..32]);
    Ok((tag, len, brick.into_storage()))
}

/// Part of a container, or all of it.
pub(super) fn serve(headers: &HeaderMap, path: &Path) -> Response {
    for last in (0..TRIES).rev() {
        let found = state(path).and_then(|(tag, len, file)| {
            let response = answer(headers, &tag, len, &file)?;
            // A file that was replaced is another one's bytes, whole: only its own commits matter.
            Ok((response, state(path).is_ok_and(|(now, ..)| now == tag)))
        });
        match found {
            Ok((response, true)) => return response,
            Ok((mut response, false)) if last == 0 => {
                response.headers_mut().remove(header::ETAG);
                return response;
            }
            Ok(_) => {}
            Err(error) => {
                let why = format!("{}: {error}", path.display());
                return reply::problem(StatusCode::NOT_FOUND, &why);
            }
        }
    }
    reply::problem(StatusCode::SERVICE_UNAVAILABLE, "the brick changes all the time")
}

fn answer(headers: &HeaderMap, tag: &str, len: u64, file: &ReadFile) -> io::Result<Response> {
    let mut response = body(headers, tag, len, file)?;
    let fields = response.headers_mut();
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.extend(HeaderValue::from_str(tag).ok().map(|tag| (header::ETAG, tag)));
    Ok(response)
}

fn body(headers: &HeaderMap, tag: &str, len: u64, file: &ReadFile) -> io::Result<Response> {
    if reply::has(headers, tag) {
        return Ok(reply::with(StatusCode::NOT_MODIFIED, KIND, ""));
    }
    let said = if reply::continues(headers, tag) { reply::range(headers, len) } else { Ok(None) };
    let Ok(wanted) = said else {
        let mut response = reply::with(StatusCode::RANGE_NOT_SATISFIABLE, KIND, "");
        content_range(&mut response, &format!("bytes */{len}"));
        return Ok(response);
    };
    if wanted.is_none() && len > MOST {
        let what = "the brick is large: ask for ranges of what it is now";
        return Ok(reply::problem(StatusCode::BAD_REQUEST, what));
    }
    let (start, end) = wanted.map_or((0, len), |(start, end)| (start, end.min(start + MOST)));
    let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
    file.read(start, &mut bytes)?;
    if wanted.is_none() {
        return Ok(reply::with(StatusCode::OK, KIND, bytes));
    }
    let mut response = reply::with(StatusCode::PARTIAL_CONTENT, KIND, bytes);
    content_range(&mut response, &format!("bytes {start}-{}/{len}", end - 1));
    Ok(response)
}

fn content_range(response: &mut Response, text: &str) {
    let value = HeaderValue::from_str(text).ok();
    response.headers_mut().extend(value.map(|value| (header::CONTENT_RANGE, value)));
}
