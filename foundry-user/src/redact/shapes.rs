//! The shapes of secrets in text.
//!
//! Knows: bytes. Must never know: where they came from.
//! Keeps: whether a secret begins at a place is decided in time linear in its length; what was
//! redacted has no shape any more.

/// A secret: these bytes go.
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) what: &'static str,
}

/// Tokens that say what they are: how they begin, how many characters follow at least.
const TOKENS: &[(&str, usize, &str)] = &[
    ("AKIA", 16, "aws key"),
    ("ASIA", 16, "aws key"),
    ("ABIA", 16, "aws key"),
    ("ghp_", 20, "github token"),
    ("gho_", 20, "github token"),
    ("ghu_", 20, "github token"),
    ("ghs_", 20, "github token"),
    ("ghr_", 20, "github token"),
    ("github_pat_", 20, "github token"),
    ("glpat-", 16, "gitlab token"),
    ("glptt-", 16, "gitlab token"),
    ("gldt-", 16, "gitlab token"),
    ("xoxb-", 10, "slack token"),
    ("xoxp-", 10, "slack token"),
    ("xoxa-", 10, "slack token"),
    ("xoxr-", 10, "slack token"),
    ("xoxs-", 10, "slack token"),
    ("xoxe.", 10, "slack token"),
    ("xapp-", 10, "slack token"),
    ("sk_live_", 16, "stripe key"),
    ("sk_test_", 16, "stripe key"),
    ("rk_live_", 16, "stripe key"),
    ("whsec_", 16, "stripe key"),
    ("sk-ant-", 16, "model key"),
    ("sk-proj-", 16, "model key"),
    ("sk-", 32, "model key"),
    ("hf_", 30, "model key"),
    ("npm_", 30, "npm token"),
    ("pypi-", 30, "pypi token"),
    ("AIza", 30, "google key"),
    ("ya29.", 20, "google token"),
    ("GOCSPX-", 20, "google token"),
    ("SG.", 30, "sendgrid key"),
    ("dop_v1_", 30, "digitalocean token"),
    ("shpat_", 20, "shopify token"),
    ("dapi", 32, "databricks token"),
    ("lin_api_", 20, "linear key"),
    ("hvs.", 20, "vault token"),
    ("tskey-", 16, "tailscale key"),
    ("AGE-SECRET-KEY-1", 20, "age key"),
    ("eyJ", 30, "json web token"),
];

/// Names whose value is a secret whatever it looks like.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "access-key",
    "privatekey",
    "private_key",
    "private-key",
    "credential",
    "authkey",
    "auth_key",
    "account_key",
    "accountkey",
    "encryption_key",
    "signing_key",
    "secret_key",
    "psk",
    "authorization",
];

/// Names whose value is a secret where it looks like chance.
const LIKELY_NAMES: &[&str] =
    &["key", "auth", "session", "cookie", "salt", "signature", "sid", "pass"];

/// Words before a value in a header of HTTP.
const SCHEMES: &[&str] = &["bearer ", "basic ", "digest "];

/// Characters of a value that looks like chance, at least.
const RANDOM_LEN: usize = 16;

/// Characters of a line of nothing but base64 that is taken for part of a key.
const BLOB_LEN: usize = 40;

const PEM_OPEN: &[u8] = b"-----BEGIN ";
const PEM_KEY: &[u8] = b"PRIVATE KEY";
const PEM_END: &[u8] = b"-----END ";

/// The longest label of a PEM block.
const PEM_LABEL: usize = 64;

/// The longest name of a value that is looked at.
const MAX_NAME: usize = 64;

/// Bytes that are looked at before it is decided whether a secret begins: what is not one must not
/// be read again from each of its places.
const FAR: usize = 512;

/// The secret that begins at `at`, or that this place decides about.
pub(super) fn secret_at(text: &[u8], at: usize) -> Option<Found> {
    match text[at] {
        b'-' => pem(text, at),
        // No scheme is called like a secret: behind such a name the slashes are the value's own.
        b':' if text[at..].starts_with(b"://") => {
            userinfo(text, at + 3).or_else(|| value_of_name(text, at))
        }
        b'=' | b':' => value_of_name(text, at),
        b' ' => value_of_option(text, at),
        _ => None,
    }
    .or_else(|| starts_word(text, at).then(|| word(text, at)).flatten())
}

/// Whether some line of `head` opens a private key.
pub(super) fn opens_private_key(head: &[u8]) -> bool {
    memchr::memmem::find_iter(head, PEM_OPEN).any(|at| private_label(head, at).is_some())
}

/// Where the label of a block of a private key ends that opens at `at`.
fn private_label(text: &[u8], at: usize) -> Option<usize> {
    let label = text.get(at..)?.strip_prefix(PEM_OPEN)?;
    let label = &label[..label.len().min(PEM_LABEL)];
    let found = memchr::memmem::find(label, PEM_KEY)?;
    let plain =
        label[..found].iter().all(|b| b.is_ascii_uppercase() || *b == b' ' || b.is_ascii_digit());
    plain.then_some(at + PEM_OPEN.len() + found + PEM_KEY.len())
}

/// A block up to its last line; one whose end is not in sight takes the rest of the text.
fn pem(text: &[u8], at: usize) -> Option<Found> {
    let from = private_label(text, at)?;
    let end = memchr::memmem::find(&text[from..], PEM_END).map_or(text.len(), |found| {
        let closing = from + found + PEM_END.len();
        let rest = &text[closing..text.len().min(closing + PEM_LABEL)];
        memchr::memmem::find(rest, b"-----").map_or(closing, |n| closing + n + 5)
    });
    Some(Found { start: at, end, what: "private key" })
}

/// `user:password@` behind `://`: the password goes, and a lone token before the `@`, too.
fn userinfo(text: &[u8], at: usize) -> Option<Found> {
    let near = &text[at..text.len().min(at + FAR)];
    if near.starts_with(b"[") {
        return None;
    }
    let ends_word = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'<' | b'>' | 0);
    let ends_host = |b: &u8| ends_word(b) || matches!(b, b'/' | b'?' | b'#' | b'\'');
    let word = &near[..near.iter().position(ends_word).unwrap_or(near.len())];
    let host = &word[..word.iter().position(ends_host).unwrap_or(word.len())];
    let sign = host.iter().rposition(|&b| b == b'@').or_else(|| {
        // A password may hold a slash although it should not: then no port stands behind the colon.
        let colon = host.iter().position(|&b| b == b':')?;
        let is_port = word.get(colon + 1).is_some_and(u8::is_ascii_digit);
        (!is_port).then(|| word.iter().rposition(|&b| b == b'@')).flatten()
    })?;
    let start = match word[..sign].iter().position(|&b| b == b':') {
        Some(colon) => colon + 1,
        None if looks_random(&word[..sign]) => 0,
        None => return None,
    };
    is_value(&word[start..sign], 1).then_some(Found {
        start: at + start,
        end: at + sign,
        what: "password",
    })
}

/// `name = value`, `name: value`, `"name": "value"`.
fn value_of_name(text: &[u8], at: usize) -> Option<Found> {
    let weight = weight_of(name_before(text, at))?;
    let mut start = at + 1;
    // `:=`, `==` and `=>` assign, too.
    while start < text.len() && start <= at + 2 && matches!(text[start], b'=' | b'>') {
        start += 1;
    }
    value(text, start, weight)
}

/// `--password value`.
fn value_of_option(text: &[u8], at: usize) -> Option<Found> {
    let name = name_before(text, at);
    let start = at.checked_sub(name.len())?;
    if name.len() < 3 || !text[..start + 1].ends_with(b"-") && !text[..start].ends_with(b"--") {
        return None;
    }
    let weight = weight_of(name)?;
    value(text, at, weight)
}

/// How much a name says of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    Secret,
    Likely,
}

fn weight_of(name: &[u8]) -> Option<Weight> {
    let holds = |words: &[&str]| words.iter().any(|w| contains_ignoring_case(name, w.as_bytes()));
    if name.is_empty() {
        None
    } else if holds(SECRET_NAMES) {
        Some(Weight::Secret)
    } else {
        holds(LIKELY_NAMES).then_some(Weight::Likely)
    }
}

fn contains_ignoring_case(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word))
}

/// The name that ends before `at`, with or without quotes and blanks behind it.
fn name_before(text: &[u8], at: usize) -> &[u8] {
    let mut end = at;
    let low = at.saturating_sub(4);
    while low < end && matches!(text[end - 1], b' ' | b'\t' | b'"' | b'\'' | b']' | b'\\') {
        end -= 1;
    }
    let mut start = end;
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    while 0 < start && end - start < MAX_NAME && is_name(text[start - 1]) {
        start -= 1;
    }
    &text[start..end]
}

/// The value that begins at or behind `start`.
fn value(text: &[u8], mut start: usize, weight: Weight) -> Option<Found> {
    while matches!(text.get(start), Some(b' ' | b'\t' | b'\\')) {
        start += 1;
    }
    let quote = text.get(start).copied().filter(|b| matches!(b, b'"' | b'\'' | b'`'));
    if quote.is_some() {
        start += 1;
    }
    for scheme in SCHEMES {
        let word = text.get(start..start + scheme.len());
        if word.is_some_and(|w| w.eq_ignore_ascii_case(scheme.as_bytes())) {
            start += scheme.len();
        }
    }
    let rest = text.get(start..)?;
    let stop = |b: &u8| match quote {
        Some(quote) => *b == quote || matches!(b, b'\n' | b'\r' | 0),
        None => b.is_ascii_whitespace() || b"\"'&;,<>)}\0".contains(b),
    };
    let near = &rest[..rest.len().min(FAR)];
    let near = &near[..near.iter().position(stop).unwrap_or(near.len())];
    let taken = match weight {
        Weight::Secret => is_value(near, 3),
        Weight::Likely => looks_random(near),
    };
    if !taken {
        return None;
    }
    let len = rest.iter().position(stop).unwrap_or(rest.len());
    Some(Found { start, end: start + len, what: "value" })
}

/// Whether bytes are a value and not the place of one.
fn is_value(value: &[u8], least: usize) -> bool {
    let is_format = value.first() == Some(&b'%') && value.len() <= 4;
    let is_empty_brace = matches!(
        value,
        b"{}"
            | b"{0}"
            | b"{1}"
            | b"[]"
            | b"null"
            | b"NULL"
            | b"none"
            | b"None"
            | b"true"
            | b"false"
    );
    least <= value.len() && !is_format && !is_empty_brace && !value.starts_with(super::OPEN.as_bytes())
        // What was redacted is not redacted again.
        && !value.starts_with(b"[redacted")
}

/// A token, the value behind a scheme, or a line of a key.
fn word(text: &[u8], at: usize) -> Option<Found> {
    let rest = &text[at..];
    let is_token = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'+' | b'=' | b'~')
    };
    for &(start, least, what) in TOKENS {
        let Some(tail) = rest.strip_prefix(start.as_bytes()) else { continue };
        let near = &tail[..tail.len().min(FAR)];
        let is_plain = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let plain = near.iter().take_while(is_plain).count();
        if least <= plain && looks_mixed(&near[..plain]) {
            let len = tail.iter().position(|b| !is_token(b)).unwrap_or(tail.len());
            return Some(Found { start: at, end: at + start.len() + len, what });
        }
    }
    for scheme in SCHEMES {
        if !rest.get(..scheme.len()).is_some_and(|w| w.eq_ignore_ascii_case(scheme.as_bytes())) {
            continue;
        }
        let tail = &rest[scheme.len()..rest.len().min(scheme.len() + FAR)];
        let len = tail.iter().position(|b| !is_token(b)).unwrap_or(tail.len());
        if 8 <= len && looks_mixed(&tail[..len]) {
            let start = at + scheme.len();
            return Some(Found { start, end: start + len, what: "authorization" });
        }
    }
    blob(rest).map(|len| Found { start: at, end: at + len, what: "blob" })
}

/// A line of a key whose opening line is elsewhere: long, nothing but base64, all sorts of letters.
fn blob(rest: &[u8]) -> Option<usize> {
    let in_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let near = &rest[..rest.len().min(FAR)];
    let run = &near[..near.iter().position(|b| !in_base64(b)).unwrap_or(near.len())];
    let slashes = run.iter().filter(|&&b| b == b'/').count();
    let is_blob =
        BLOB_LEN <= run.len() && slashes * 16 <= run.len() && has_all_sorts(run) && !is_worded(run);
    if !is_blob {
        return None;
    }
    let len = rest.iter().position(|b| !in_base64(b)).unwrap_or(rest.len());
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'\\' | 0);
    (FAR <= len || rest.get(len).is_none_or(ends)).then_some(len)
}

/// Whether a run reads like words put together: most letters follow one of their own case.
fn is_worded(run: &[u8]) -> bool {
    let same = |w: &&[u8]| w[0].is_ascii_lowercase() && w[1].is_ascii_lowercase();
    let n = run.windows(2).filter(same).count();
    run.len() / 2 <= n
}

/// Whether a value looks like chance: long, without blanks, with sorts of characters mixed.
fn looks_random(value: &[u8]) -> bool {
    let is_part = |b: &u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'_' | b'-' | b'.' | b'/' | b'+' | b'=' | b'~' | b'%')
    };
    RANDOM_LEN <= value.len()
        && value.iter().all(is_part)
        && looks_mixed(value)
        && distinct(value) >= 8
}

/// Digits and letters.
fn looks_mixed(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic)
}

fn has_all_sorts(run: &[u8]) -> bool {
    run.iter().any(u8::is_ascii_digit)
        && run.iter().any(u8::is_ascii_lowercase)
        && run.iter().any(u8::is_ascii_uppercase)
        && distinct(run) >= 16
}

fn distinct(run: &[u8]) -> u32 {
    let mut seen = [false; 256];
    for &b in run {
        seen[usize::from(b)] = true;
    }
    seen.iter().map(|&s| u32::from(s)).sum()
}

/// Whether a word begins at `at`.
fn starts_word(text: &[u8], at: usize) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+');
    is_word(text[at]) && (at == 0 || !is_word(text[at - 1]))
}
