//! The options of the dashboard.

use std::str::FromStr;

use clap::Args;
use rustls::pki_types::ServerName;
use swfn_access::listen::discreet;
use swfn_shared::{address::Address, problem, problem::Problem, quote::quote};

/// The address of the dashboard, and its names.
#[derive(Debug, Args)]
pub struct HttpArguments {
    /// Serve the dashboard, its JSON and Prometheus' metrics at this address, or `off`
    /// [default: 127.0.0.1:7078, or the next free port]
    #[arg(long, value_name = "HOST:PORT|off", value_parser = discreet::<Place>())]
    pub(super) http: Option<Place>,
    /// Accept requests for this host name, too, such as that of a proxy; may be given several
    /// times. Requests for unknown names are refused
    #[arg(long = "http-host", hide_short_help = true, value_name = "NAME", value_parser = discreet::<HostName>())]
    pub(super) http_hosts: Vec<HostName>,
    /// Let this page show the dashboard in a frame, such as https://hub:8000; may be given several
    /// times. By default, none may
    #[arg(long = "http-frame", hide_short_help = true, value_name = "ORIGIN", value_parser = discreet::<Origin>())]
    pub(super) http_frames: Vec<Origin>,
    /// Ask for the token before showing the dashboard, also on this machine: that of --token-file,
    /// or of `token` in the run directory
    #[arg(long, hide_short_help = true)]
    pub http_token: bool,
}

/// The address to listen at, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Off,
    At(Address),
}

impl FromStr for Place {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

/// A host name or an IP address, without a port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostName(pub(super) String);

impl FromStr for HostName {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match ServerName::try_from(bare) {
            Ok(_) => Ok(Self(bare.to_ascii_lowercase())),
            // Text before an `@` may be a password.
            Err(_) => Err(problem!(
                "{} is neither a host name nor an IP address",
                quote(text.rsplit_once('@').map_or(text, |(_, behind)| behind));
                "a port is not a part of it"
            )),
        }
    }
}

/// The origin of a page: scheme and host, with a port unless it is the default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin(pub(super) String);

impl FromStr for Origin {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let parts = text.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme));
        let authority = parts.map(|(_, authority)| authority);
        let is_host = |host: &str| host.parse::<HostName>().is_ok() && !host.contains(['@', '/']);
        let with_port =
            |authority: &str| authority.parse::<Address>().is_ok() && !authority.starts_with(':');
        if authority.is_some_and(|authority| is_host(authority) || with_port(authority)) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        let shown = quote(text.rsplit_once('@').map_or(text, |(_, behind)| behind));
        Err(problem!(
            "{shown} is no origin of a page";
            "it looks like https://hub.example, without a path"
        ))
    }
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
            assert_eq!(text.parse(), Ok(Origin(text.to_owned())));
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
            let problem = text.parse::<Origin>().unwrap_err();
            assert!(
                problem.to_string().contains(text) && problem.to_string().contains("\nhint: "),
                "{problem}"
            );
        }
        let problem = "https://ann:secret@hub".parse::<Origin>().unwrap_err();
        assert!(!problem.to_string().contains("secret"), "{problem}");
        let problem = "ann:secret@hub".parse::<HostName>().unwrap_err();
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
}
