//! Planted secrets do not come out, and what is no secret does.

use super::*;
use proptest::prelude::*;

/// Secrets as they stand in files: the text around, and the part that must not be seen.
const PLANTED: &[(&str, &str)] = &[
    ("aws_access_key_id = AKIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    ("x AKIAIOSFODNN7EXAMPLE y", "IOSFODNN7EXAMPLE"),
    ("aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "bPxRfiCYEXAMPLEKEY"),
    ("remote: ghp_16C7e42F292c6912E7710c838347Ae178B4a", "16C7e42F292c6912E7710c838347Ae178B4a"),
    ("github_pat_11ABCDEFG0abcdefghij_klmnop", "11ABCDEFG0abcdefghij"),
    ("slack xoxb-123456789012-abcdefGHIJ", "123456789012-abcdefGHIJ"),
    ("glpat-abcDEF1234567890wxyz", "abcDEF1234567890wxyz"),
    ("Authorization: Bearer abcdef0123456789.xyz", "abcdef0123456789"),
    ("authorization: Basic dXNlcjpwYXNzd29yZDEyMw==", "dXNlcjpwYXNzd29yZDEyMw"),
    ("password://A~0#^a", "A~0#^a"),
    ("GET https://alice:hunter2@example.org/x", "hunter2"),
    ("postgres://u:p%40ss/w0rd@db/x", "w0rd"),
    ("https://3f786850e387550fdab836ed7e6dc881de23001b@git.example/x", "3f786850e387550fdab8"),
    ("password=hunter2", "hunter2"),
    ("PASSWORD: \"correct horse battery\"", "horse"),
    ("{\"db_password\": \"s3cr3t!\"}", "s3cr3t!"),
    ("{\\\"token\\\": \\\"abc123def\\\"}", "abc123def"),
    ("mysql --password=tiger9 -u root", "tiger9"),
    ("curl --api-key k9k9k9k9 url", "k9k9k9k9"),
    ("export GITHUB_TOKEN=abcdef", "abcdef"),
    ("session = 9f86d081884c7d659a2feaa0c55ad015", "9f86d081884c7d659a2feaa0c55ad015"),
    ("sid: Zm9vYmFyYmF6cXV4MTIzNDU2", "Zm9vYmFyYmF6cXV4MTIzNDU2"),
    (
        "t eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3",
        "eyJzdWIiOiIxMjM0NTY3ODkwIn0",
    ),
    ("AGE-SECRET-KEY-1QQPQZRXGF2TVDW0S3JN54KHCE6MUA7L", "QQPQZRXGF2TVDW0S3JN54KHCE6MUA7L"),
    (
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----",
        "b3BlbnNz",
    ),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\ncut off", "MIIEow"),
    (
        "MIIEowIBAAKCAQEAu5bG7kX9mQ2vRzTn3PwYdJc8LhFq1sVx0Ao4EiUyKtBgNj",
        "u5bG7kX9mQ2vRzTn3PwYdJc8LhFq1sVx0Ao4EiUyKtBgNj",
    ),
];

/// What stands in programs and logs, and tells nothing.
const HARMLESS: &[&str] = &[
    "https://www.gnu.org/software/coreutils/",
    "http://localhost:1234/v1/models",
    "http://[::1]:8080/a@b",
    "password: %s",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "_ZNSt6vectorIiSaIiEE17_M_realloc_insertIJRKiEEEvN9__gnu_cxx17__normal_iteratorIPiS1_EEDpOT_",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "Copyright (C) 2024 Free Software Foundation, Inc.",
    "monkey: banana",
    "skeleton-key not found",
    "2026-11-20T10:00:00Z host sshd[1]: Accepted publickey for root",
    "-----BEGIN CERTIFICATE-----",
];

#[test]
fn planted_secrets_do_not_come_out() {
    for (around, secret) in PLANTED {
        let out = text(around);
        assert!(!out.contains(secret), "{around} -> {out}");
        assert!(out.contains("[redacted "), "{around} -> {out}");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for harmless in HARMLESS {
        assert!(matches!(text(harmless), Cow::Borrowed(_)), "{harmless} -> {}", text(harmless));
    }
}

#[test]
fn the_words_around_a_secret_stay() {
    assert_eq!(
        text("user=bob password=hunter2 port=1"),
        "user=bob password=[redacted value] port=1"
    );
    assert_eq!(text("ftp://bob:pw1@host/x"), "ftp://bob:[redacted password]@host/x");
}

#[test]
fn files_of_secrets_are_known_by_their_place() {
    for (path, reason) in [
        ("/etc/shadow", Reason::PasswordDatabase),
        ("/srv/jail/etc/shadow-", Reason::PasswordDatabase),
        ("/root/.ssh/id_ed25519", Reason::PrivateKey),
        ("/home/a/.ssh/deploy", Reason::PrivateKey),
        ("/etc/ssh/ssh_host_rsa_key", Reason::PrivateKey),
        ("/etc/ssl/private/ssl-cert.key", Reason::PrivateKey),
        ("/home/a/.netrc", Reason::Credentials),
        ("/home/a/.aws/credentials", Reason::Credentials),
        ("/home/a/.docker/config.json", Reason::Credentials),
        ("/home/a/secrets.KDBX", Reason::KeyStore),
        ("/home/a/.gnupg/pubring.kbx", Reason::KeyStore),
        ("/home/a/.local/share/keyrings/login.keyring", Reason::KeyStore),
        ("/home/a/.mozilla/firefox/x.default/logins.json", Reason::BrowserProfile),
        ("/home/a/.config/chromium/Default/Login Data", Reason::BrowserProfile),
    ] {
        assert_eq!(is_withheld(path.as_bytes(), b""), Some(reason), "{path}");
    }
    for path in ["/usr/bin/passwd", "/etc/shadow.conf", "/usr/share/doc/ssh/README", "/a/my.ssh/x"]
    {
        assert_eq!(is_withheld(path.as_bytes(), b""), None, "{path}");
    }
}

#[test]
fn files_of_secrets_are_known_by_their_first_bytes() {
    let key = b"# mine\n-----BEGIN EC PRIVATE KEY-----\nMHc\n";
    assert_eq!(is_withheld(b"/srv/tls.pem", key), Some(Reason::PrivateKey));
    assert_eq!(is_withheld(b"/x", b"\x03\xd9\xa2\x9a rest"), Some(Reason::KeyStore));
    assert_eq!(is_withheld(b"/srv/cert.pem", b"-----BEGIN CERTIFICATE-----\nMII\n"), None);
    // A program that knows the words is a program.
    let program = b"\x7fELF\0\0-----BEGIN RSA PRIVATE KEY-----\0";
    assert_eq!(is_withheld(b"/usr/bin/openssl", program), None);
}

#[test]
fn a_long_text_of_half_secrets_ends() {
    // Each of these begins a shape at every place and ends none: quadratic work would take hours.
    for unit in ["key=", "://", "a/", "AKIA", "eyJ.", "-----BEGIN ", " --token ", "basic "] {
        let long = unit.repeat((1 << 17) / unit.len());
        assert!(text(&long).len() <= long.len() * 4, "{unit}");
    }
}

proptest! {
    #[test]
    fn a_secret_anywhere_in_any_text_is_found(
        which in 0..PLANTED.len(),
        before in "[ -~\u{e9}\n]{0,40}",
        after in "[ -~\u{e9}\n]{0,40}",
    ) {
        let (around, secret) = PLANTED[which];
        let whole = format!("{before}\n{around}\n{after}");
        let out = text(&whole);
        prop_assert!(!out.contains(secret), "{whole:?} -> {out:?}");
    }

    #[test]
    fn a_random_password_behind_any_such_name_is_found(
        name in "(DB_)?(password|PASSWD|apiToken|client_secret|x-api-key)",
        sign in "( ?= ?|: ?|\": \")",
        secret in "[A-Za-z0-9!#$*+./?@^_~-]{8,40}",
    ) {
        let whole = format!("a {name}{sign}{secret} z");
        let out = text(&whole);
        prop_assert!(!out.contains(&secret), "{whole:?} -> {out:?}");
    }

    #[test]
    fn the_second_time_changes_nothing(any in "\\PC{0,200}", which in 0..PLANTED.len()) {
        let once = text(&format!("{any} {}", PLANTED[which].0)).into_owned();
        prop_assert_eq!(text(&once).into_owned(), once);
    }
}
