//! JSON of the map server (API.md) and of Geometry OS. Like all JSON, it is made here and nowhere else.
//!
//! Knows: JSON's text. Must never know: what the values mean.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value from JSON; nothing where it is not such a value.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// A value as JSON; `null` where it has no JSON, which none of ours lacks.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec())
}
