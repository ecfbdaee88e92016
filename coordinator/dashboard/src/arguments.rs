//! The options of the dashboard.

use clap::Args;
use rustls::pki_types::ServerName;
use swfn_access::listen::Discreet;
use swfn_shared::{address::Address, problem, problem::Problem, quote::quote};

/// The address of the dashboard, and its names.
#[derive(Debug, Args)]
pub struct HttpArguments {
    /// Serve the dashboard, its JSON and Prometheus' metrics at this address, or `off`
    /// [default: 127.0.0.1:7078, or the next free port]
    #[arg(long, value_name = "HOST:PORT|off", value_parser = Discreet(place))]
    pub(super) http: Option<Place>,
    /// Accept requests for this host name, too, such as that of a proxy; may be given several
    /// times. Requests for unknown names are refused
    #[arg(long = "http-host", hide_short_help = true, value_name = "NAME", value_parser = Discreet(host_name))]
    pub(super) http_hosts: Vec<String>,
    /// Let this page show the dashboard in a frame, such as https://hub:8000; may be given several
    /// times. By default, none may
    #[arg(long = "http-frame", hide_short_help = true, value_name = "ORIGIN", value_parser = Discreet(origin))]
    pub(super) http_frames: Vec<String>,
    /// Ask for the token before showing the dashboard, also on this machine: that of --token-file,
    /// or of `token` in the run directory
    #[arg(long)]
    pub http_token: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Off,
    At(Address),
}

fn place(text: &str) -> Result<Place, Problem> {
    if text == "off" { Ok(Place::Off) } else { text.parse().map(Place::At) }
}

/// A refused value in quotes. Text before an `@` may be a password.
fn shown(text: &str) -> String {
    quote(text.rsplit_once('@').map_or(text, |(_, behind)| behind))
}

/// A host name or an IP address, without a port, in lower case.
fn host_name(text: &str) -> Result<String, Problem> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    ServerName::try_from(bare).map(|_| bare.to_ascii_lowercase()).map_err(|_| {
        let shown = shown(text);
        problem!(
            "{shown} is neither a host name nor an IP address"; "a port is not a part of it"
        )
    })
}

/// The origin of a page: scheme and host, with a port unless it is the default one.
fn origin(text: &str) -> Result<String, Problem> {
    let parts = text.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme));
    let authority = parts.map(|(_, authority)| authority);
    let is_host = |host: &str| host_name(host).is_ok() && !host.contains(['@', '/']);
    let with_port =
        |authority: &str| authority.parse::<Address>().is_ok() && !authority.starts_with(':');
    if authority.is_some_and(|authority| is_host(authority) || with_port(authority)) {
        return Ok(text.to_ascii_lowercase());
    }
    let shown = shown(text);
    Err(
        problem!("{shown} is no origin of a page"; "it looks like https://hub.example, without a path"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for text in [
            "https://hub.example",
            "http://hub:8000",
            "http://127.0.0.1:8888",
            "https://[::1]:1",
            "https://[::1]",
        ] {
            assert_eq!(origin(text), Ok(text.to_owned()));
        }
        for text in [
            "hub.example",
            "*",
            "https://",
            "https://hub/x",
            "ftp://hub",
            "https://:80",
            "https://a b",
            "https://a;b",
            "https://*",
        ] {
            let problem = origin(text).unwrap_err();
            assert!(
                problem.to_string().contains(text) && problem.to_string().contains("\nhint: "),
                "{problem}"
            );
        }
        let problem = origin("https://ann:secret@hub").unwrap_err();
        assert!(!problem.to_string().contains("secret"), "{problem}");
        let problem = host_name("ann:secret@hub").unwrap_err();
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
}
