//! Whom we may talk to: this machine, and hosts that the configuration names.
//!
//! Knows: addresses and names. Must never know: what is said there.
//! Keeps: a host that is not named must be a loopback address, as it is written and again as it is
//! resolved at the moment of connecting: a name that means another machine tomorrow is refused then.

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// Why a server is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an address at all.
    #[error("annotate.url `{0}` is not an address such as http://127.0.0.1:1234")]
    NotAnUrl(String),
    /// Another protocol, or parts that an address of a server does not have.
    #[error("annotate.url `{0}` must be plain http://HOST:PORT, without a user, a query or a path")]
    Form(String),
    /// Another machine that nobody named.
    #[error(
        "annotate.url names `{0}`, which is not this machine: what is known of files would leave it; \
         to allow that, add the host to annotate.remote-hosts"
    )]
    Remote(String),
}

/// A name that does not mean what it may mean.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` means {address}, which is not this machine; it was not connected to")]
pub(super) struct NotLoopback {
    name: String,
    address: IpAddr,
}

/// A model server that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://HOST:PORT`.
    base: String,
    port: u16,
    /// As the configuration names them, lower case.
    remote_hosts: Vec<String>,
    is_remote: bool,
}

impl Endpoint {
    /// Checks what the configuration says. `/v1` at the end is understood.
    ///
    /// # Errors
    /// Where it is no plain address, or one of another machine that is not among `remote_hosts`.
    pub fn parse(url: &str, remote_hosts: &[String]) -> Result<Self, EndpointError> {
        let parsed = Url::parse(url).map_err(|_| EndpointError::NotAnUrl(url.to_owned()))?;
        let plain = parsed.scheme() == "http"
            && parsed.username().is_empty()
            && parsed.password().is_none()
            && parsed.query().is_none()
            && parsed.fragment().is_none()
            && matches!(parsed.path(), "" | "/" | "/v1" | "/v1/");
        let Some(host) = parsed.host_str().filter(|_| plain) else {
            return Err(EndpointError::Form(url.to_owned()));
        };
        let remote_hosts: Vec<String> = remote_hosts.iter().map(|h| h.to_lowercase()).collect();
        let here = match address(host) {
            Some(ip) => is_loopback(ip),
            None => host == "localhost" || host.ends_with(".localhost"),
        };
        let is_named = remote_hosts.iter().any(|h| h == host || h == host.trim_matches(['[', ']']));
        if !here && !is_named {
            return Err(EndpointError::Remote(host.to_owned()));
        }
        let port = parsed.port_or_known_default().unwrap_or(80);
        let base = format!("http://{host}:{port}");
        Ok(Self { base, port, remote_hosts, is_remote: !here })
    }

    /// `http://HOST:PORT`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The port of every connection.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether what is asked leaves this machine.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// The resolver that every connection of a client goes through.
    pub(super) fn resolver(&self, lookup: Lookup) -> Guarded {
        Guarded { remote_hosts: self.remote_hosts.clone(), lookup }
    }

    /// Whether an answer may have come from there.
    pub(super) fn may_be(&self, address: IpAddr) -> bool {
        self.is_remote || is_loopback(address)
    }
}

/// From a name to addresses: the system's resolver, or a test's.
pub(super) type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system() -> Lookup {
    Arc::new(|name| Ok((name, 0).to_socket_addrs()?.collect()))
}

/// A resolver that knows no machine but this one and those that are named.
pub(super) struct Guarded {
    remote_hosts: Vec<String>,
    lookup: Lookup,
}

impl Guarded {
    fn check(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NotLoopback> {
        if self.remote_hosts.iter().any(|host| host == &name.to_lowercase()) {
            return Ok(found);
        }
        match found.iter().find(|a| !is_loopback(a.ip())) {
            None => Ok(found),
            Some(other) => Err(NotLoopback { name: name.to_owned(), address: other.ip() }),
        }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let this = Self { remote_hosts: self.remote_hosts.clone(), lookup: self.lookup.clone() };
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let checked = tokio::task::spawn_blocking(move || {
                let found = (this.lookup)(&name)?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(this.check(&name, found)?)
            });
            let addresses: Addrs = Box::new(checked.await??.into_iter());
            Ok(addresses)
        })
    }
}

/// An address that is written as one.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_unless_a_host_is_named() {
        for url in [
            "http://127.0.0.1:1234",
            "http://127.3.2.1",
            "http://localhost:11434/v1",
            "http://[::1]:8080/",
            "http://lm.localhost:1",
            // The forms that a browser takes for the same.
            "http://0x7f.1:80/v1/",
        ] {
            let endpoint = Endpoint::parse(url, &[]).unwrap();
            assert!(!endpoint.is_remote(), "{url}");
        }
        for url in [
            "http://192.168.0.4:1234",
            "http://example.org",
            "http://0.0.0.0:1234",
            "http://[::]:1234",
            "http://localhost.example.org",
            "http://169.254.169.254/",
            "http://127.0.0.1.example.org:1234",
        ] {
            assert!(
                matches!(Endpoint::parse(url, &[]), Err(EndpointError::Remote(_))),
                "{url} was allowed"
            );
        }
        let named = Endpoint::parse("http://GPU.lan:1234", &["gpu.lan".to_owned()]).unwrap();
        assert!(named.is_remote());
        assert_eq!((named.base(), named.port()), ("http://gpu.lan:1234", 1234));
        for url in ["https://127.0.0.1", "http://u:p@127.0.0.1", "http://127.0.0.1/?a", "ftp://x"] {
            assert!(matches!(Endpoint::parse(url, &[]), Err(EndpointError::Form(_))), "{url}");
        }
        assert!(matches!(Endpoint::parse("127.0.0.1", &[]), Err(EndpointError::NotAnUrl(_))));
    }

    #[test]
    fn a_name_is_believed_by_its_addresses() {
        let endpoint = Endpoint::parse("http://localhost:1", &["gpu.lan".to_owned()]).unwrap();
        let guarded = endpoint.resolver(system());
        let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let there: SocketAddr = "203.0.113.9:0".parse().unwrap();
        assert_eq!(guarded.check("localhost", vec![here]).unwrap(), [here]);
        assert!(guarded.check("localhost", vec![here, there]).is_err());
        assert_eq!(guarded.check("GPU.lan", vec![there]).unwrap(), [there]);
    }
}
