//! Where secrets are kept: paths and first bytes of files that are never read for facts.
//!
//! Knows: habits of programs. Must never know: text, who asks.
//! Keeps: a rule names a file or a directory of secrets, not a word that may stand in any name.

use super::Reason::{self, BrowserProfile, Credentials, KeyStore, PasswordDatabase, PrivateKey};

/// Directories: everything below is withheld. Compared with whole components.
const DIRECTORIES: &[(&str, Reason)] = &[
    (".ssh", PrivateKey),
    ("etc/ssl/private", PrivateKey),
    ("etc/pki/tls/private", PrivateKey),
    ("etc/wireguard", PrivateKey),
    ("etc/letsencrypt/archive", PrivateKey),
    ("etc/letsencrypt/live", PrivateKey),
    (".gnupg", KeyStore),
    (".password-store", KeyStore),
    (".local/share/keyrings", KeyStore),
    (".local/share/kwalletd", KeyStore),
    (".pki/nssdb", KeyStore),
    ("var/lib/sss/secrets", KeyStore),
    ("etc/NetworkManager/system-connections", Credentials),
    ("etc/credstore", Credentials),
    ("etc/credstore.encrypted", Credentials),
    ("run/secrets", Credentials),
    ("run/credentials", Credentials),
    (".config/gcloud", Credentials),
    (".config/gh", Credentials),
    (".azure", Credentials),
];

/// Files by the last components of their paths.
const FILES: &[(&str, Reason)] = &[
    ("etc/shadow", PasswordDatabase),
    ("etc/shadow-", PasswordDatabase),
    ("etc/gshadow", PasswordDatabase),
    ("etc/gshadow-", PasswordDatabase),
    ("etc/security/opasswd", PasswordDatabase),
    ("etc/master.passwd", PasswordDatabase),
    ("etc/krb5.keytab", PrivateKey),
    ("var/lib/systemd/credential.secret", PrivateKey),
    (".aws/credentials", Credentials),
    (".aws/config", Credentials),
    (".docker/config.json", Credentials),
    (".kube/config", Credentials),
    (".cargo/credentials", Credentials),
    (".cargo/credentials.toml", Credentials),
    (".gem/credentials", Credentials),
    (".m2/settings.xml", Credentials),
    (".netrc", Credentials),
    ("_netrc", Credentials),
    (".git-credentials", Credentials),
    (".pgpass", Credentials),
    (".my.cnf", Credentials),
    (".npmrc", Credentials),
    (".pypirc", Credentials),
    (".vault-token", Credentials),
    (".htpasswd", Credentials),
    (".env", Credentials),
    (".env.local", Credentials),
    (".env.production", Credentials),
    (".bash_history", Credentials),
    (".zsh_history", Credentials),
    (".psql_history", Credentials),
    (".mysql_history", Credentials),
    ("wpa_supplicant.conf", Credentials),
    ("etc/ppp/pap-secrets", Credentials),
    ("etc/ppp/chap-secrets", Credentials),
    ("etc/ipsec.secrets", Credentials),
    ("etc/mysql/debian.cnf", Credentials),
    ("rclone/rclone.conf", Credentials),
    ("logins.json", BrowserProfile),
    ("key3.db", BrowserProfile),
    ("key4.db", BrowserProfile),
    ("signons.sqlite", BrowserProfile),
    ("cookies.sqlite", BrowserProfile),
    ("Login Data", BrowserProfile),
    ("Cookies", BrowserProfile),
    ("Web Data", BrowserProfile),
];

/// Files by the end of their names.
const ENDINGS: &[(&str, Reason)] = &[
    (".kdbx", KeyStore),
    (".kdb", KeyStore),
    (".jks", KeyStore),
    (".keystore", KeyStore),
    (".keyring", KeyStore),
    (".kwl", KeyStore),
    (".p12", KeyStore),
    (".pfx", KeyStore),
    (".agilekeychain", KeyStore),
    (".keytab", PrivateKey),
    (".ppk", PrivateKey),
    ("id_rsa", PrivateKey),
    ("id_dsa", PrivateKey),
    ("id_ecdsa", PrivateKey),
    ("id_ed25519", PrivateKey),
    ("id_ecdsa_sk", PrivateKey),
    ("id_ed25519_sk", PrivateKey),
];

/// First bytes.
const HEADS: &[(usize, &[u8], Reason)] = &[
    (0, b"\x03\xd9\xa2\x9a", KeyStore),
    (0, b"\xfe\xed\xfe\xed", KeyStore),
    (0, b"\xce\xce\xce\xce", KeyStore),
    (8, b"KBXf", KeyStore),
    (0, b"GnomeKeyring\n\r\0\n", KeyStore),
    (0, b"KWALLET\n\r\0\r\n", KeyStore),
    (0, b"PuTTY-User-Key-File-", PrivateKey),
    (0, b"AGE-SECRET-KEY-1", PrivateKey),
];

/// Bytes of a head that are searched for the opening line of a key.
const PEM_HEAD: usize = 64 << 10;

/// What the place of a file says.
pub(super) fn by_path(path: &[u8]) -> Option<Reason> {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let file = FILES.iter().find(|(tail, _)| ends_with_components(path, tail.as_bytes()));
    let ending = || ENDINGS.iter().find(|(end, _)| ends_ignoring_case(name, end.as_bytes()));
    let below = || DIRECTORIES.iter().find(|(dir, _)| lies_below(path, dir.as_bytes()));
    let host_key = || name.starts_with(b"ssh_host_") && name.ends_with(b"_key");
    if let Some(&(_, reason)) = file.or_else(ending).or_else(below) {
        return Some(reason);
    }
    host_key().then_some(PrivateKey)
}

/// What the first bytes of a file say.
pub(super) fn by_head(head: &[u8]) -> Option<Reason> {
    let starts = |&&(at, magic, _): &&(usize, &[u8], Reason)| {
        head.get(at..).is_some_and(|rest| rest.starts_with(magic))
    };
    if let Some(&(_, _, reason)) = HEADS.iter().find(starts) {
        return Some(reason);
    }
    // Files of keys open with their key, a comment, or the certificate it belongs to. A program
    // that merely knows the words holds other bytes, too.
    let head = &head[..head.len().min(PEM_HEAD)];
    let is_text = !head.contains(&0);
    (is_text && super::shapes::opens_private_key(head)).then_some(PrivateKey)
}

/// Whether the last components of `path` are those of `tail`.
fn ends_with_components(path: &[u8], tail: &[u8]) -> bool {
    path.strip_suffix(tail).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
}

fn ends_ignoring_case(name: &[u8], end: &[u8]) -> bool {
    let from = name.len().checked_sub(end.len());
    from.is_some_and(|from| name[from..].eq_ignore_ascii_case(end))
}

/// Whether `dir` stands among the directories of `path`.
fn lies_below(path: &[u8], dir: &[u8]) -> bool {
    let mut from = 0;
    while let Some(found) = memchr::memmem::find(&path[from..], dir) {
        let (start, end) = (from + found, from + found + dir.len());
        let opens = start == 0 || path[start - 1] == b'/';
        if opens && path.get(end) == Some(&b'/') {
            return true;
        }
        from = start + 1;
    }
    false
}
