//! The proxy of a request, from the same environment variables as curl's.
//!
//! The proxy of the scheme goes before `ALL_PROXY`, and a name in lower case before one in upper
//! case. An empty variable counts as unset. Requests to this machine never take a proxy.

use std::net::IpAddr;

use swfn_shared::{problem, problem::Problem, quote::quote};
use ureq::{Proxy, ProxyProtocol, http::Uri};

/// Reads a variable of the environment.
pub(crate) type Variable<'v> = &'v dyn Fn(&str) -> Option<String>;

/// A proxy and its variable.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) proxy: Proxy,
    /// The address without password, and the variable, for messages.
    pub(crate) shown: String,
}

/// The proxy for an address, if there is one.
///
/// # Errors
/// A variable does not name a proxy, or one of a kind that is not supported.
pub(crate) fn choose(url: &Uri, variable: Variable<'_>) -> Result<Option<Chosen>, Problem> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let scheme = url.scheme_str().unwrap_or("http");
    let either = |name: &str| {
        let of = |name: String| {
            variable(&name).filter(|value| !value.trim().is_empty()).map(|value| (name, value))
        };
        of(name.to_ascii_lowercase()).or_else(|| of(name.to_ascii_uppercase()))
    };
    let port = url.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let Some((name, value)) = either(&format!("{scheme}_proxy")).or_else(|| either("all_proxy"))
    else {
        return Ok(None);
    };
    if is_this_machine(&host)
        || either("no_proxy").is_some_and(|(_, list)| is_exempt(&list, &host, port))
    {
        return Ok(None);
    }
    let value = value.trim();
    // The part before it may be a password.
    let address = value.rsplit_once('@').map_or(value, |(_, address)| address);
    let no_proxy = || {
        problem!(
            "{} of {name} is not the address of a proxy", quote(address);
            "write it as in http://proxy.example:3128"
        )
    };
    let (kind, address) = match value.split_once("://") {
        Some((kind, _)) => {
            (kind, address.split_once("://").map_or(address, |(_, address)| address))
        }
        None => ("http", address),
    };
    if kind.starts_with("socks") {
        let address = quote(&format!("{kind}://{address}"));
        return Err(problem!(
            "the proxy {address} of {name} is of kind `{kind}`, which is not supported";
            "name an HTTP proxy there, or list the server in NO_PROXY"
        ));
    }
    if !matches!(kind, "http" | "https") {
        return Err(no_proxy());
    }
    let proxy = Proxy::new(value).map_err(|_| no_proxy())?;
    let kind = if proxy.protocol() == ProxyProtocol::Https { "https" } else { "http" };
    let shown = format!("`{kind}://{}:{}` of {name}", proxy.host(), proxy.port());
    Ok(Some(Chosen { proxy, shown }))
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether `NO_PROXY` lists the server: its name or domain, its address or network, each with or
/// without a port, or `*`.
fn is_exempt(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.');
    let address: Option<IpAddr> = host.parse().ok();
    let lists_server = |entry: &str| {
        if entry == "*" {
            return true;
        }
        let (entry, of_port) = without_port(entry);
        if of_port.is_some_and(|of_port| of_port != port) {
            return false;
        }
        match (address, entry.split_once('/')) {
            (Some(address), Some((network, bits))) => is_in(address, network, bits),
            (Some(address), None) => entry.parse().is_ok_and(|entry: IpAddr| entry == address),
            (None, _) => {
                let domain = entry.trim_start_matches('*').trim_matches('.').to_ascii_lowercase();
                let before = host.strip_suffix(domain.as_str());
                !domain.is_empty()
                    && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
        }
    };
    let mut entries = list.split(|c: char| c == ',' || c.is_whitespace());
    entries.any(|entry| !entry.is_empty() && lists_server(entry))
}

/// Splits `host`, `[address]`, `host:port` or `[address]:port`; an IPv6 address has more colons.
fn without_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port.parse().ok()),
        _ => (entry, None),
    }
}

fn is_in(address: IpAddr, network: &str, bits: &str) -> bool {
    let Ok(bits) = bits.parse::<u32>() else { return false };
    let same = |one: u128, other: u128, all: u32| {
        bits <= all && (bits == 0 || (one ^ other) >> (all - bits) == 0)
    };
    match (address, network.parse()) {
        (IpAddr::V4(one), Ok(IpAddr::V4(other))) => {
            same(one.to_bits().into(), other.to_bits().into(), 32)
        }
        (IpAddr::V6(one), Ok(IpAddr::V6(other))) => same(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variable = |name: &str| {
            variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
        };
        let chosen = choose(&url.parse().unwrap(), &variable);
        chosen.map(|chosen| chosen.map(|chosen| chosen.shown)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_scheme_has_the_first_proxy() {
        let all = [
            ("ALL_PROXY", "http://all:1"),
            ("https_proxy", "secure:2"),
            ("HTTP_PROXY", "http://upper"),
            ("http_proxy", ""),
        ];
        let of = |url| chosen(url, &all).unwrap().unwrap();
        assert_eq!(of("https://a"), "`http://secure:2` of https_proxy");
        assert_eq!(of("http://a"), "`http://upper:80` of HTTP_PROXY", "an empty variable is none");
        assert_eq!(chosen("http://a", &all[..2]).unwrap().unwrap(), "`http://all:1` of ALL_PROXY");
        let both = [("http_proxy", "https://lower:3"), all[2]];
        assert_eq!(chosen("http://a", &both).unwrap().unwrap(), "`https://lower:3` of http_proxy");
        assert_eq!(chosen("http://a", &[("https_proxy", "x:1"), ("http_proxy", " ")]), Ok(None));
    }

    #[test]
    fn this_machine_never_takes_a_proxy() {
        let proxy = [("all_proxy", "http://proxy:1")];
        for url in [
            "http://localhost:5000",
            "http://LOCALHOST",
            "https://a.localhost",
            "http://127.9.9.9:1",
            "http://[::1]:5000",
        ] {
            assert_eq!(chosen(url, &proxy), Ok(None), "{url}");
        }
        for url in ["http://localhost.example", "http://10.0.0.1", "http://[::2]"] {
            assert!(chosen(url, &proxy).unwrap().is_some(), "{url}");
        }
    }

    #[test]
    fn no_proxy_is_read_as_curl_reads_it() {
        for (list, url) in [
            ("*", "http://a.example"),
            ("other, a.example", "http://a.example:5000"),
            ("other a.example", "http://A.Example"),
            ("example", "http://a.example"),
            (".example", "http://a.example"),
            ("*.example", "http://a.example"),
            ("Example.", "http://a.example"),
            ("10.0.0.0/8", "http://10.9.8.7:5000"),
            ("10.9.8.7", "https://10.9.8.7"),
            ("10.9.8.7:5000", "http://10.9.8.7:5000"),
            ("a.example:443", "https://a.example"),
            ("2001:db8::/32", "http://[2001:db8::7]"),
            ("[2001:db8::7]", "http://[2001:db8::7]:5000"),
            ("[2001:db8::7]:5000", "http://[2001:db8:0::7]:5000"),
            ("0.0.0.0/0", "http://10.9.8.7"),
        ] {
            assert_eq!(
                chosen(url, &[("all_proxy", "p:1"), ("NO_PROXY", list)]),
                Ok(None),
                "{list} {url}"
            );
            assert_eq!(
                chosen(url, &[("all_proxy", "p:1"), ("no_proxy", list), ("NO_PROXY", "x")]),
                Ok(None)
            );
            assert_eq!(
                chosen(url, &[("all_proxy", "p:1"), ("NO_PROXY", list), ("no_proxy", "")]),
                Ok(None)
            );
        }
        for (list, url) in [
            ("", "http://a.example"),
            (",", "http://a.example"),
            ("ample", "http://a.example"),
            ("a.example", "http://example"),
            ("a.example:443", "http://a.example"),
            ("10.0.0.0/8", "http://11.0.0.1"),
            ("10.0.0.0/33", "http://10.0.0.1"),
            ("10.0.0.0/x", "http://10.0.0.1"),
            ("10.0.0", "http://10.0.0.1"),
            ("2001:db8::/32", "http://[2001:db9::7]"),
            (".", "http://a.example"),
        ] {
            assert!(
                chosen(url, &[("all_proxy", "p:1"), ("NO_PROXY", list)]).unwrap().is_some(),
                "{list} {url}"
            );
        }
    }

    #[test]
    fn wrong_proxies_are_refused_without_passwords() {
        let refused = |value: &str| chosen("http://a", &[("http_proxy", value)]).unwrap_err();
        let socks = refused("socks5h://ann:secret@proxy:1080");
        assert!(
            socks.contains("`socks5h://proxy:1080` of http_proxy") && socks.contains("\nhint: "),
            "{socks}"
        );
        for value in ["ann:secret@", "ftp://ann:secret@proxy", "http://", "http://ann:secret@a b"] {
            let problem = refused(value);
            assert!(problem.contains("http_proxy") && !problem.contains("secret"), "{problem}");
        }
        let shown =
            chosen("http://a", &[("http_proxy", "http://ann:secret@proxy:3128")]).unwrap().unwrap();
        assert_eq!(shown, "`http://proxy:3128` of http_proxy");
    }
}
