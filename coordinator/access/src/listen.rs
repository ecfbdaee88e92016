//! The address of a listener: from the text of an option to the socket, and to the URL for others.

use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
};

use clap::{
    Arg, Command,
    builder::{StringValueParser, TypedValueParser},
    error::ErrorKind,
};
use swfn_shared::{
    address::{Address, Host},
    problem,
    problem::{OrProblem as _, Problem},
};

use crate::{arguments::Access, machine};

/// A parser for an option with a password in its value: its errors do not repeat the value.
#[derive(Debug, Clone, Copy)]
pub struct Discreet<T>(pub fn(&str) -> Result<T, Problem>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Discreet<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        option: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, option, value)?;
        self.0(&text).map_err(|problem| {
            let option = option.map(ToString::to_string).unwrap_or_default();
            clap::Error::raw(ErrorKind::ValueValidation, format!("{option}: {problem}\n"))
                .with_cmd(command)
        })
    }
}

/// Resolves the address of a listener. The first IPv4 address of a name counts.
pub fn resolve(address: &Address, option: &str) -> anyhow::Result<SocketAddr> {
    let port = address.port;
    let name = match &address.host {
        Host::Any => return Ok((Ipv4Addr::UNSPECIFIED, port).into()),
        Host::Ip(ip) => return Ok((*ip, port).into()),
        Host::Name(name) => name.as_str(),
    };
    let problem = |why| {
        problem!(
            "host `{name}` of {option} {why}";
            "give {option} an address or a name of this machine, or `:{port}` for all"
        )
    };
    let found: Vec<_> =
        (name, port).to_socket_addrs().or_problem(|| problem("is not known"))?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    Ok(*first.or_problem(|| problem("has no address"))?)
}

impl Access {
    /// The URL of a listener for others; `named` is the host in the option. With TLS its host is a
    /// name in the certificate, if there is one.
    pub fn url(&self, address: SocketAddr, named: &Host) -> String {
        let ip = address.ip();
        let mut hosts = Vec::new();
        if let Host::Name(_) = named {
            hosts.push(named.clone());
        }
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
                let bare = |host: &Host| host.to_string().replace(['[', ']'], "");
                let covered = hosts.iter().find(|host| tls.covers(&bare(host))).cloned();
                ("https", covered.or_else(|| tls.first_name().map(Host::Name)))
            }
        };
        // Only a machine without name and network has no host.
        let host = known.or(hosts.first().cloned()).unwrap_or(Host::Ip(Ipv4Addr::LOCALHOST.into()));
        format!("{scheme}://{host}:{}", address.port())
    }

    /// The options that workers need for access.
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

/// The address at which this machine itself reaches a listener.
pub fn local_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
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
        access.url(resolve(&address, "--listen").unwrap(), &address.host)
    }

    #[test]
    fn names_and_ports_resolve_to_addresses() {
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
    fn printed_urls_can_be_used() {
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
    fn with_tls_urls_have_names_of_the_certificate() {
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
        let of = |text: &str| local_address(text.parse().unwrap()).to_string();
        assert_eq!(
            (of("0.0.0.0:1"), of("[::]:1"), of("10.0.0.1:1")),
            ("127.0.0.1:1".into(), "[::1]:1".into(), "10.0.0.1:1".into())
        );
    }
}
