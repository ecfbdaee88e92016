//! Where workers and people come in, and what they need for it.

use std::net::Ipv4Addr;

use swfn_access::{Access, listen};
use swfn_shared::address::Address;
use swfn_store::run_dir::RunDir;

use crate::{
    arguments::SweepArguments,
    grpc::{self, Listener},
    local,
};

/// Where workers find the coordinator unless the user says otherwise.
const DEFAULT_PORT: u16 = 7077;

/// Opened before anything is changed: what is wrong with certificates and addresses costs nothing.
pub(crate) struct Entrances {
    pub(crate) access: Access,
    /// As many as there may be, or as open files allow.
    pub(crate) max_connections: u32,
    pub(crate) listener: Listener,
    /// What workers call it.
    pub(crate) url: String,
    /// With what others call it.
    pub(crate) health: Option<(Listener, String)>,
    pub(crate) dashboard: Option<swfn_dashboard::Door>,
    /// Whether others who use this machine can look at the dashboard.
    pub(crate) seen_by_all: bool,
}

impl Entrances {
    pub(crate) async fn open(arguments: &SweepArguments, run_dir: &RunDir) -> anyhow::Result<Self> {
        let local_workers = arguments.local_workers.is_some();
        let default_port = if local_workers { 0 } else { DEFAULT_PORT };
        let said = arguments
            .listen
            .clone()
            .unwrap_or(Address::new(Ipv4Addr::LOCALHOST.into(), default_port));
        let address = listen::resolve(&said, "--listen")?;
        let mut access = arguments.access.read()?;
        arguments.access.door.check(address, &access)?;
        let max_connections = grpc::make_room(arguments.access.max_connections)?;
        let listener = Listener::bind(address, "--listen").await?;
        let url = access.url(listener.address, &said.host);
        let mut health = None;
        if let Some(said) = &arguments.health {
            let door = Listener::bind(listen::resolve(said, "--health")?, "--health").await?;
            let told = Access::default().url(door.address, &said.host);
            health = Some((door, told.trim_start_matches("http://").to_owned()));
        }
        let mut lookers = access.clone();
        // Nobody else is meant to come in where nobody said where: neither as a worker, nor, if so wanted, to look.
        if access.token.is_none()
            && (arguments.http.http_token || local_workers && arguments.listen.is_none())
        {
            let token = local::run_token(run_dir.path())?;
            lookers.token = arguments.http.http_token.then(|| token.clone());
            if local_workers && arguments.listen.is_none() {
                access.token = Some(token);
                access.token_file = Some(run_dir.path().join(local::TOKEN_FILE));
            }
        }
        let seen_by_all = lookers.token.is_none() && local::others_are_here();
        let dashboard =
            swfn_dashboard::Door::open(&arguments.http, &lookers, &arguments.access.door, &url)
                .await?;
        Ok(Self { access, max_connections, listener, url, health, dashboard, seen_by_all })
    }
}
