//! The listening sockets and the gRPC servers on them, with explicit limits.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use swfn_access::{
    Access,
    gate::{self, Gate, STRANGERS},
};
use swfn_dashboard::is_ready;
use swfn_proto::v1::{self, coordinator_server::CoordinatorServer};
use swfn_scheduler::turn::Holder;
use swfn_shared::{
    problem,
    problem::OrProblem as _,
    snapshot::Snapshot,
    wire::{MAX_MESSAGE_BYTES, MAX_REPORT_BYTES},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tonic::{service::interceptor::InterceptedService, transport::Server};
use tonic_health::ServingStatus;
use tracing::warn;

use super::{access::Check, handshake::shake_hands, intake::Intake, session::SessionService};
use crate::engine::Request;

/// Open files beside those of connections: database, logs, artifacts, pipes of workers.
const OTHER_FILES: u64 = 256;

/// Open files of the program itself and of a few people who look on: fewer are too few to start.
const LEAST_FILES: u64 = 96;

/// Concurrent streams of one connection. A worker needs one.
const STREAMS: u32 = 16;

/// Bytes of the headers of one request.
const HEADERS: u32 = 16 << 10;

/// Bytes that a peer may send ahead, on a stream and on a connection.
const WINDOW: u32 = 64 << 10;

/// Time limit until a handler answers; a session answers once its worker has introduced itself.
const ANSWER: Duration = Duration::from_secs(30);

/// Longest time between the announcement that a connection has become too old and its end.
const AGE_GRACE: Duration = Duration::from_secs(10);

/// A bound socket: its address is known and taken before anything else starts.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Listener {
    /// Binds; `option` is the option that sets the address.
    pub(crate) async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.or_problem(
            || problem!("cannot listen on `{address}`"; "choose another address with {option}"),
        )?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}

/// A socket with its access rules.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) access: Access,
    /// The holder of connections without a certificate.
    pub(crate) holder: Holder,
}

/// The service behind the doors.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) welcome: v1::Welcome,
    pub(crate) max_connections: u32,
    pub(crate) max_connection_age: Duration,
    pub(crate) snapshots: watch::Receiver<Snapshot>,
    /// A socket that serves health without TLS.
    pub(crate) health: Option<Listener>,
}

/// The service name under which health reports the engine; the empty name reports the server.
const READY: &str = "ready";

/// Serves at all doors until `stop` resolves. Open streams end with the actor.
pub(crate) async fn serve(
    doors: Vec<Door>,
    service: Service,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let max_connections = service.max_connections as usize;
    let gate = Gate::new(max_connections);
    let sessions = SessionService::new(service.requests, service.welcome, max_connections);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<CoordinatorServer<SessionService>>().await;
    reporter.set_service_status("", ServingStatus::Serving).await;
    tokio::spawn(async move {
        let mut snapshots = service.snapshots;
        // Once the engine has stopped it never restarts, so the loop can end.
        while snapshots.has_changed().is_ok() {
            let status = match is_ready(&mut snapshots).await {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            };
            reporter.set_service_status(READY, status).await;
        }
        reporter.set_service_status(READY, ServingStatus::NotServing).await;
    });
    let intake = Intake::new();
    let coordinator = CoordinatorServer::new(sessions)
        .max_decoding_message_size(MAX_REPORT_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let health = health
        .max_decoding_message_size(HEADERS as usize)
        .max_encoding_message_size(HEADERS as usize);

    let (stopping, stopped) = watch::channel(false);
    let stop_wanted = || {
        let mut stopped = stopped.clone();
        async move {
            stopped.wait_for(|stop| *stop).await.ok();
        }
    };
    let mut servers = JoinSet::new();
    if let Some(listener) = service.health {
        // Probes never become guests of the gate, since they stay strangers.
        let connections = gate::accept(listener.listener, Arc::clone(&gate));
        let router =
            limited(service.max_connection_age).add_service(intake.metered(health.clone()));
        servers.spawn(router.serve_with_incoming_shutdown(connections, stop_wanted()));
    }
    for Door { listener, access, holder } in doors {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?
            .max_decoding_message_size(HEADERS as usize)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let check = Check::new(access.token, holder);
        let (health, coordinator) = (health.clone(), coordinator.clone());
        let router = limited(service.max_connection_age)
            .add_service(InterceptedService::new(intake.metered(health), check.open()))
            .add_service(InterceptedService::new(intake.metered(reflection), check.clone()))
            .add_service(InterceptedService::new(intake.metered(coordinator), check));
        let connections = gate::accept(listener.listener, Arc::clone(&gate));
        match access.tls {
            None => servers.spawn(router.serve_with_incoming_shutdown(connections, stop_wanted())),
            Some(tls) => {
                let connections = shake_hands(connections, tls);
                servers.spawn(router.serve_with_incoming_shutdown(connections, stop_wanted()))
            }
        };
    }
    tokio::spawn(async move {
        stop.await;
        stopping.send_replace(true);
    });
    while let Some(ended) = servers.join_next().await {
        ended.context("a gRPC server panicked")?.context("a gRPC server failed")?;
    }
    Ok(())
}

/// A server without services. It sets limits that tonic and hyper leave open or set for general
/// use.
fn limited(max_age: Duration) -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS)
        // A stream that a peer opens and resets at once costs it little and a server much.
        .http2_max_pending_accept_reset_streams(Some(20))
        .http2_max_local_error_reset_streams(Some(256))
        .http2_max_header_list_size(HEADERS)
        .max_frame_size(16 << 10)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .accept_http1(false)
        // A worker that vanished is noticed within half a minute.
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_connection_age(max_age)
        .max_connection_age_grace(AGE_GRACE.min(max_age))
        // Requests beyond it are refused at once, not queued.
        .concurrency_limit_per_connection(STREAMS as usize / 2)
        .load_shed(true)
        .timeout(ANSWER)
}

/// Raises this process's limit of open files if so many connections need it; returns the number of
/// connections that fit.
pub(crate) fn raise_file_limit(connections: u32) -> anyhow::Result<u32> {
    // Workers and people have a gate each.
    let others = swfn_dashboard::CONNECTIONS as u64 + 2 * STRANGERS as u64 + OTHER_FILES;
    let needed = u64::from(connections) + others;
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files is unknown")?;
    if soft >= needed || setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).is_ok() {
        return Ok(connections);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        .context("the limit of open files cannot be raised")?;
    // Half of the rest: strangers and guests rarely use all of their part.
    let fitting = u32::try_from(hard.saturating_sub(LEAST_FILES) / 2).unwrap_or(u32::MAX);
    ensure!(
        fitting > 0,
        problem!(
            "the limit of open files is {hard}, and this program needs {LEAST_FILES} at least";
            "raise it (`ulimit -n`)"
        )
    );
    let connections = connections.min(fitting);
    warn!(
        "the limit of open files is {hard}: room for {connections} connections of workers\n\
         hint: `ulimit -n {needed}`"
    );
    Ok(connections)
}
