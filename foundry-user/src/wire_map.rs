//! JSON of the map server (API.md). Like all JSON, it is made here and nowhere else.
//!
//! Knows: JSON's text. Must never know: what the values mean.

use serde::Serialize;

/// A value as JSON; `null` where it has no JSON, which none of ours lacks.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec())
}
