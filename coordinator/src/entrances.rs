//! The sockets at which workers and people connect, with their access rules.

use std::net::Ipv4Addr;

use swfn_access::{Access, listen};
use swfn_shared::address::Address;
use swfn_store::run_dir::RunDir;

use crate::{
    arguments::SweepArguments,
    grpc::{self, Listener},
    local,
};

/// The port for workers, unless the user names one.
const DEFAULT_PORT: u16 = 7077;

/// The open sockets. They are opened before anything is changed, so faulty certificates and
/// addresses cost nothing.
pub(crate) struct Entrances {
    pub(crate) access: Access,
    /// The number that the user allows, or that the limit of open files allows.
    pub(crate) max_connections: u32,
    pub(crate) listener: Listener,
    /// The address for workers.
    pub(crate) url: String,
    /// The socket for health, and its address.
    pub(crate) health: Option<(Listener, String)>,
    pub(crate) dashboard: Option<swfn_dashboard::Door>,
    /// Whether other users of this machine can look at the dashboard.
    pub(crate) seen_by_all: bool,
}

impl Entrances {
    pub(crate) async fn open(arguments: &SweepArguments, run_dir: &RunDir) -> anyhow::Result<Self> {
        let local_workers = arguments.local_workers.is_some();
        let default_port = if local_workers { 0 } else { DEFAULT_PORT };
        let default = || Address::new(Ipv4Addr::LOCALHOST.into(), default_port);
        let workers = arguments.listen.clone().unwrap_or_else(default);
        let address = listen::resolve(&workers, "--listen")?;
        let mut access = arguments.access.read()?;
        arguments.access.door.check(address, &access)?;
        let max_connections = grpc::raise_file_limit(arguments.access.max_connections)?;
        let listener = Listener::bind(address, "--listen").await?;
        let url = access.url(listener.address, &workers.host);
        let mut health = None;
        if let Some(address) = &arguments.health {
            let listener =
                Listener::bind(listen::resolve(address, "--health")?, "--health").await?;
            let url = Access::default().url(listener.address, &address.host);
            health = Some((listener, url.trim_start_matches("http://").to_owned()));
        }
        let mut page_access = access.clone();
        // Without --listen only local workers may join, and --http-token restricts the page: both
        // need a token.
        let is_private = local_workers && arguments.listen.is_none();
        if access.token.is_none() && (arguments.http.http_token || is_private) {
            let token = local::run_token(&run_dir.path)?;
            page_access.token = arguments.http.http_token.then(|| token.clone());
            if is_private {
                access.token = Some(token);
                access.token_file = Some(run_dir.path.join(local::TOKEN_FILE));
            }
        }
        let seen_by_all = page_access.token.is_none() && local::has_other_users();
        let (http, door) = (&arguments.http, &arguments.access.door);
        let dashboard = swfn_dashboard::Door::open(http, &page_access, door, &url).await?;
        Ok(Self { access, max_connections, listener, url, health, dashboard, seen_by_all })
    }
}
