//! Addresses as people write them: of listeners and of coordinators.
//!
//! The part before an `@` may be a password, so no error repeats it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use rustls::pki_types::ServerName;

use crate::{problem, problem::Problem, quote::quote};

/// A host and a port: `head.example:7077`, `10.0.0.1:7077`, `[::1]:7077`, or `:7077` without host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub host: Host,
    /// The port; a listener with port 0 takes any free one.
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// No host: all addresses of this machine for a listener, this machine for a client.
    Any,
    Ip(IpAddr),
    /// A name, in lower case.
    Name(String),
}

/// The hint for all wrong addresses.
const FORM: &str = "write HOST:PORT, as in `head.example:7077` or `[::1]:7077`";

/// A problem that begins with the wrong address, so that a caller can put its origin before it.
fn wrong(text: &str, why: &str) -> Problem {
    Problem::new(format!("{} {why}", quote(text)), FORM)
}

fn wrong_port(address: &str, port: &str, least: u16) -> Problem {
    let why = format!("has port {}, which is not a number from {least} to 65535", quote(port));
    wrong(address, &why)
}

impl FromStr for Address {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        if let Some((_, after)) = text.rsplit_once('@') {
            return Err(problem!(
                "{} has a user or a password before the `@`", quote(&format!("...@{after}"));
                "leave them out: a token comes from a file (--token-file)"
            ));
        }
        if text.contains("://") {
            return Err(wrong(text, "begins with a scheme"));
        }
        if text.contains('/') {
            return Err(wrong(text, "has a path behind its port"));
        }
        let no_host = |host: &str| {
            problem!(
                "{} has host {}, which is neither a host name nor an IP address",
                quote(text), quote(host);
                "an IPv6 address stands in brackets, as in `[::1]:7077`"
            )
        };
        let in_brackets = text.ends_with(']') || text.parse::<Ipv6Addr>().is_ok();
        let (host, port) = text
            .rsplit_once(':')
            .filter(|_| !in_brackets)
            .ok_or_else(|| wrong(text, "has no port"))?;
        // The parser of numbers takes `+1`.
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or_else(|| wrong_port(text, port, 0))?;
        Ok(Self { host: Host::parse(host).ok_or_else(|| no_host(host))?, port })
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Any);
        }
        if let Some(bare) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return bare.parse::<Ipv6Addr>().ok().map(|ip| Self::Ip(ip.into()));
        }
        match ServerName::try_from(text).ok()? {
            ServerName::DnsName(name) => Some(Self::Name(name.as_ref().to_ascii_lowercase())),
            // Without brackets its last group would look like a port.
            ServerName::IpAddress(_) => text.parse().ok().filter(IpAddr::is_ipv4).map(Self::Ip),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

/// The host as in a URL, where an IPv6 address has brackets.
impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Ip(IpAddr::V6(ip)) => write!(out, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(out),
            Self::Name(name) => name.fmt(out),
        }
    }
}

/// The protocol to a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// The URL of a coordinator: an [`Address`], with or without `http://` or `https://` before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorUrl {
    /// The scheme, if the text has one.
    pub scheme: Option<Scheme>,
    /// The address, which has no port 0.
    pub address: Address,
}

impl FromStr for CoordinatorUrl {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let (scheme, rest) = match text.split_once("://") {
            // This may be a part of a password.
            Some((scheme, _)) if scheme.contains('@') => (None, text),
            Some((scheme, rest)) => match &*scheme.to_ascii_lowercase() {
                "http" => (Some(Scheme::Http), rest),
                "https" => (Some(Scheme::Https), rest),
                _ if rest.contains('@') => (None, text),
                _ => {
                    return Err(problem!(
                        "{} is neither an http:// nor an https:// address", quote(text);
                        "write http://host:7077 or https://host:7077"
                    ));
                }
            },
            None => (None, text),
        };
        let address: Address = rest.strip_suffix('/').unwrap_or(rest).parse()?;
        if address.port == 0 {
            return Err(wrong_port(&address.to_string(), "0", 1));
        }
        Ok(Self { scheme, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports_alone_are_read() {
        for (text, shown) in [
            ("localhost:7077", "localhost:7077"),
            ("Head.Example:0", "head.example:0"),
            ("my_host-1:65535", "my_host-1:65535"),
            ("10.0.0.1:7077", "10.0.0.1:7077"),
            ("[::1]:7077", "[::1]:7077"),
            ("[2001:DB8::7]:1", "[2001:db8::7]:1"),
            (":7077", ":7077"),
        ] {
            assert_eq!(
                text.parse::<Address>().map(|address| address.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
        for (text, shown) in [
            ("http://head:7077", (Some(Scheme::Http), "head:7077")),
            ("HTTPS://head:7077/", (Some(Scheme::Https), "head:7077")),
            ("head:7077", (None, "head:7077")),
            (":7077", (None, ":7077")),
            ("[::1]:7077", (None, "[::1]:7077")),
        ] {
            let CoordinatorUrl { scheme, address } = text.parse().unwrap();
            assert_eq!((scheme, &*address.to_string()), shown, "{text}");
        }
    }

    #[test]
    fn errors_name_the_wrong_part() {
        for (text, expected) in [
            ("localhost", "`localhost` has no port\nhint: write HOST:PORT"),
            ("7077", "`7077` has no port"),
            ("[::1]", "`[::1]` has no port"),
            ("::1", "`::1` has no port"),
            ("", "`` has no port"),
            ("a:99999", "`a:99999` has port `99999`, which is not a number from 0 to 65535"),
            ("a:", "`a:` has port ``"),
            ("a:+1", "`a:+1` has port `+1`"),
            ("a:-1", "`a:-1` has port `-1`"),
            ("::1:7077", "`::1:7077` has no port"),
            ("1::1::1:7077", "`1::1::1:7077` has host `1::1::1`, which is neither a host name"),
            ("[::1:7077", "`[::1:7077` has host `[::1`"),
            ("[10.0.0.1]:1", "`[10.0.0.1]:1` has host"),
            ("a b:1", "`a b:1` has host `a b`"),
            ("http://a:1", "`http://a:1` begins with a scheme"),
            ("a:1/x", "`a:1/x` has a path"),
        ] {
            let problem = text.parse::<Address>().unwrap_err().to_string();
            assert!(problem.starts_with(expected), "{problem}");
        }
        for (text, expected) in [
            ("http://localhost", "`localhost` has no port"),
            ("http://127.0.0.1:99999", "`127.0.0.1:99999` has port `99999`"),
            ("http://a:0", "`a:0` has port `0`, which is not a number from 1 to 65535"),
            ("ftp://a:1", "`ftp://a:1` is neither an http:// nor an https:// address"),
            ("http://a:1/x", "`a:1/x` has a path"),
        ] {
            let problem = text.parse::<CoordinatorUrl>().unwrap_err().to_string();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn a_password_is_refused_and_never_repeated() {
        for text in [
            "ann:secret@host:7077",
            "http://ann:secret@host:7077",
            "https://secret@host:7077/",
            "ftp://ann:secret@host:7077",
            "ann:secret://secret@host:7077",
            "http://ann:sec@ret@host:7077",
            "secret@http://host:7077",
        ] {
            for problem in
                [text.parse::<Address>().unwrap_err(), text.parse::<CoordinatorUrl>().unwrap_err()]
            {
                let problem = problem.to_string();
                assert!(
                    problem.contains("has a user or a password before the `@`\nhint: "),
                    "{problem}"
                );
                assert!(
                    !["sec", "ret", "ann"].into_iter().any(|part| problem.contains(part)),
                    "{problem}"
                );
                assert!(problem.contains("host:7077"), "{problem}");
            }
        }
    }
}
