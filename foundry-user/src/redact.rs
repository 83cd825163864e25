//! What must not leave: secrets in text, and files whose content is never read for facts.
//!
//! Knows: the shapes of secrets, where people and programs keep them. Must never know: what the text
//! is for, who gets it.
//! Keeps: [`text`] stands before everything that is stored or sent; it is linear in its input, and
//! what it gives back it leaves alone the second time. It is a net below the list of files that are
//! not read ([`is_withheld`]), not a reason to read them.

mod places;
mod shapes;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

/// What stands where a secret stood; the word says which shape it had.
const OPEN: &str = "[redacted ";

/// Why the content of a file is not read for facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Password hashes of this machine.
    PasswordDatabase,
    /// A private key, by its place or its first bytes.
    PrivateKey,
    /// A file of logins or tokens that some program keeps.
    Credentials,
    /// A store of keys or passwords: keyring, wallet, password manager.
    KeyStore,
    /// A browser's passwords or cookies.
    BrowserProfile,
}

impl Reason {
    /// As a fact says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordDatabase => "password database",
            Self::PrivateKey => "private key",
            Self::Credentials => "credentials",
            Self::KeyStore => "key store",
            Self::BrowserProfile => "browser passwords or cookies",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the content of the file at `path` stays unread. `head` may be empty: what its place
/// says can be asked before a byte of it is read.
#[must_use]
pub fn is_withheld(path: &[u8], head: &[u8]) -> Option<Reason> {
    places::by_path(path).or_else(|| places::by_head(head))
}

/// The text without its secrets. Text without any comes back as it is.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let Some(found) = shapes::secret_at(bytes, at) else {
            at += 1;
            continue;
        };
        // A shape begins and ends at ASCII, so both are boundaries of characters.
        let (Some(before), true) =
            (text.get(copied..found.start), text.is_char_boundary(found.end))
        else {
            at += 1;
            continue;
        };
        out.push_str(before);
        out.push_str(OPEN);
        out.push_str(found.what);
        out.push(']');
        copied = found.end;
        at = found.end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}
