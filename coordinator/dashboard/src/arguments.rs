//! The options of the dashboard.

use std::str::FromStr;

use clap::Args;
use rustls::pki_types::ServerName;
use swfn_access::place::discreet;
use swfn_shared::address::{Address, AddressError};

/// Where the dashboard is, and under which names.
#[derive(Debug, Args)]
pub struct HttpArguments {
    /// Address of the dashboard, of its JSON and of Prometheus' metrics, or `off` [default: 127.0.0.1:7078, or any free port with
    /// --local-workers]
    #[arg(long, value_name = "HOST:PORT|off", value_parser = discreet::<Place>())]
    pub(super) http: Option<Place>,
    /// Another host name under which people reach the dashboard, such as that of a proxy; may be given several times. Requests for
    /// names that nobody gave it are refused
    #[arg(long = "http-host", value_name = "NAME")]
    pub(super) http_hosts: Vec<HostName>,
    /// Ask who looks at the dashboard for the token, also on this machine: that of --token-file, or of `token` in the run directory
    #[arg(long)]
    pub http_token: bool,
}

/// Where to listen, if at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Off,
    At(Address),
}

impl FromStr for Place {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

/// A host name or an IP address, without a port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostName(pub(super) String);

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match ServerName::try_from(bare) {
            Ok(_) => Ok(Self(bare.to_ascii_lowercase())),
            Err(_) => Err(format!("`{text}` is neither a host name nor an IP address; a port is not a part of it")),
        }
    }
}
