//! Where a door is: from what an option says to the socket's address, and to what others call it.

use std::{
    ffi::OsStr,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _},
    str::FromStr,
};

use anyhow::{Context as _, anyhow};
use clap::{
    Arg, Command,
    builder::{StringValueParser, TypedValueParser},
    error::ErrorKind,
};
use swfn_shared::address::{Address, Host};

use crate::{arguments::Access, machine};

/// Reads an option whose value may have a password in it: unlike clap's own errors, those of this one do not repeat it.
#[derive(Debug, Clone, Copy)]
pub struct Discreet<T>(PhantomData<fn() -> T>);

/// A [`Discreet`] reader.
pub fn discreet<T>() -> Discreet<T> {
    Discreet(PhantomData)
}

impl<T> TypedValueParser for Discreet<T>
where
    T: FromStr<Err: std::fmt::Display> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        option: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, option, value)?;
        text.parse().map_err(|problem| {
            let option = option.map(ToString::to_string).unwrap_or_default();
            clap::Error::raw(ErrorKind::ValueValidation, format!("{option}: {problem}\n"))
                .with_cmd(command)
        })
    }
}

/// Where to listen. A name with several addresses means its first one of IPv4, as the usual address is.
pub fn resolve(address: &Address, option: &str) -> anyhow::Result<SocketAddr> {
    let name = match address.host() {
        Host::Any => return Ok((Ipv4Addr::UNSPECIFIED, address.port).into()),
        Host::Ip(ip) => return Ok((*ip, address.port).into()),
        Host::Name(name) => name,
    };
    let hint = format!(
        "hint: {option} takes an address or a name of this machine, or `:{}` for all",
        address.port
    );
    let found = (name.as_str(), address.port).to_socket_addrs();
    let found: Vec<_> =
        found.with_context(|| format!("host `{name}` of {option} is not known\n{hint}"))?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| anyhow!("host `{name}` of {option} has no address\n{hint}"))
}

impl Access {
    /// What others call a door at this address, which an option may have named by its host. With TLS it is a name that the certificate
    /// has, if there is one.
    pub fn url(&self, address: SocketAddr, said: &Host) -> String {
        let ip = address.ip();
        let mut hosts = match said {
            Host::Name(_) => vec![said.clone()],
            Host::Ip(_) | Host::Any => Vec::new(),
        };
        if !ip.is_unspecified() {
            hosts.push(Host::Ip(ip));
        }
        if ip.is_loopback() {
            hosts.push(Host::Name("localhost".to_owned()));
        } else {
            hosts.extend(machine::names().into_iter().map(Host::Name));
            hosts.extend(machine::outer_addresses().into_iter().map(Host::Ip));
        }
        let (scheme, known) = match &self.tls {
            None => ("http", None),
            Some(tls) => {
                let covered = hosts.iter().find(|host| tls.covers(&bare(host))).cloned();
                ("https", covered.or_else(|| tls.first_name().map(Host::Name)))
            }
        };
        // Only a machine without a name and without a network has none.
        let host = known.or(hosts.first().cloned()).unwrap_or(Host::Ip(Ipv4Addr::LOCALHOST.into()));
        format!("{scheme}://{host}:{}", address.port())
    }

    /// The options that workers need to get in.
    pub fn worker_options(&self) -> String {
        let clients = self.tls.as_ref().is_some_and(|tls| tls.asks_for_certificates());
        let file =
            self.token_file.as_ref().map_or("FILE".to_owned(), |file| file.display().to_string());
        let options = [
            (self.tls.is_some(), " --tls-ca FILE".to_owned()),
            (clients, " --tls-cert FILE --tls-key FILE".to_owned()),
            (self.token.is_some(), format!(" --token-file {file}")),
        ];
        options.into_iter().filter_map(|(needed, option)| needed.then_some(option)).collect()
    }
}

/// Without the brackets of a URL.
fn bare(host: &Host) -> String {
    match host {
        Host::Ip(ip) => ip.to_string(),
        other => other.to_string(),
    }
}

/// Where this machine itself reaches a door.
pub fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, address.port()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{CertificateParams, KeyPair};
    use swfn_shared::access::Token;

    use super::*;
    use crate::tls::{Tls, TlsFiles};

    fn with_certificate(names: &[&str]) -> Access {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let pair = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let signed = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap();
        std::fs::write(&certificate, signed.pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let tls = Tls::open(TlsFiles { certificate, key, clients: None }).unwrap();
        Access { tls: Some(Arc::new(tls)), token: Some(Token::random()), token_file: None }
    }

    fn url(access: &Access, address: &str) -> String {
        let address: Address = address.parse().unwrap();
        access.url(resolve(&address, "--listen").unwrap(), address.host())
    }

    #[test]
    fn names_and_ports_alone_are_places() {
        let of = |text: &str| {
            resolve(&text.parse().unwrap(), "--listen").map(|address| address.to_string())
        };
        assert_eq!(of("localhost:1").unwrap(), "127.0.0.1:1");
        assert_eq!(of(":7077").unwrap(), "0.0.0.0:7077");
        assert_eq!(of("[::1]:7077").unwrap(), "[::1]:7077");
        let problem = format!("{:#}", of("no-such-host.invalid:7077").unwrap_err());
        assert!(
            problem.contains("host `no-such-host.invalid` of --listen is not known\nhint: "),
            "{problem}"
        );
    }

    #[test]
    fn what_is_printed_can_be_used() {
        let none = Access::default();
        assert_eq!(url(&none, "127.0.0.1:1"), "http://127.0.0.1:1");
        assert_eq!(url(&none, "[::1]:1"), "http://[::1]:1");
        assert_eq!(url(&none, "localhost:1"), "http://localhost:1");
        let host = machine::names().first().cloned().expect("this machine has a name");
        for everywhere in ["0.0.0.0:1", "[::]:1", ":1"] {
            assert_eq!(url(&none, everywhere), format!("http://{host}:1"));
        }
        assert_eq!(none.worker_options(), "");
    }

    #[test]
    fn with_tls_it_has_a_name_of_the_certificate() {
        let access = with_certificate(&["head.example", "10.9.8.7"]);
        assert_eq!(url(&access, "10.9.8.7:1"), "https://10.9.8.7:1");
        assert_eq!(url(&access, "127.0.0.1:1"), "https://head.example:1");
        assert_eq!(url(&access, "0.0.0.0:1"), "https://head.example:1");
        assert_eq!(url(&with_certificate(&["localhost"]), "127.0.0.1:1"), "https://localhost:1");
        let host = machine::names().first().cloned().expect("this machine has a name");
        assert_eq!(
            url(&with_certificate(&["other.example", &host]), ":1"),
            format!("https://{host}:1")
        );
        assert_eq!(access.worker_options(), " --tls-ca FILE --token-file FILE");
    }

    #[test]
    fn local_workers_need_no_name() {
        let of = |text: &str| from_here(text.parse().unwrap()).to_string();
        assert_eq!(
            (of("0.0.0.0:1"), of("[::]:1"), of("10.0.0.1:1")),
            ("127.0.0.1:1".into(), "[::1]:1".into(), "10.0.0.1:1".into())
        );
    }
}
