//! The listening sockets and the server on them, with explicit limits.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use swfn_access::{
    Access,
    gate::{self, Gate, STRANGERS},
};
use swfn_dashboard::is_ready;
use swfn_proto::v1::{self, coordinator_server::CoordinatorServer};
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

use super::{
    access::{Check, Openness},
    handshake::shake_hands,
    intake::Intake,
    session::SessionService,
};
use crate::engine::Request;
use swfn_scheduler::turn::Holder;

/// Open files beside those of connections: database, logs, artifacts, workers' pipes.
const OTHER_FILES: u64 = 256;

/// Streams of one connection at a time. A worker needs one.
const STREAMS: u32 = 16;

/// Bytes of the headers of one request.
const HEADERS: u32 = 16 << 10;

/// Bytes that a peer may send ahead of what was read, of a stream and of a connection.
const WINDOWS: (u32, u32) = (64 << 10, 64 << 10);

/// What a handler may take until it begins to answer; a session begins once its worker has introduced itself.
const ANSWER: Duration = Duration::from_secs(30);

/// Between the announcement that a connection has become too old and its end, at most.
const AGE_GRACE: Duration = Duration::from_secs(10);

/// A bound socket: the address is known, and nobody else can take it, before anything else starts.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Listener {
    /// Binds; `option` is how the user says where.
    pub(crate) async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.or_problem(
            || problem!("cannot listen on `{address}`"; "choose another address with {option}"),
        )?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}

/// A socket and what it demands.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) access: Access,
    /// Who comes in without a certificate.
    pub(crate) holder: Holder,
}

/// What is served, and how much of it.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) welcome: v1::Welcome,
    pub(crate) max_connections: u32,
    pub(crate) max_connection_age: Duration,
    pub(crate) snapshots: watch::Receiver<Snapshot>,
    /// Where health is told without TLS, too, if anywhere.
    pub(crate) health: Option<Listener>,
}

/// The name under which health says whether the engine is at work; the empty one says that the server is.
const READY: &str = "ready";

/// Serves at all doors until `stop` resolves; streams that are open then end with the actor.
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
        // An engine that is gone is none that comes back.
        while snapshots.has_changed().is_ok() {
            let status = if is_ready(&mut snapshots).await {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
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
        // Probes come, ask and go, and nobody becomes a guest.
        let connections = gate::accept(listener.listener, Arc::clone(&gate));
        let router = limited(service.max_connection_age).add_service(intake.of(health.clone()));
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
        let router = limited(service.max_connection_age)
            .add_service(InterceptedService::new(
                intake.of(health.clone()),
                check.with(Openness::Open),
            ))
            .add_service(InterceptedService::new(
                intake.of(reflection),
                check.with(Openness::Closed),
            ))
            .add_service(InterceptedService::new(intake.of(coordinator.clone()), check));
        let connections = gate::accept(listener.listener, Arc::clone(&gate));
        match access.tls {
            None => servers.spawn(router.serve_with_incoming_shutdown(connections, stop_wanted())),
            Some(tls) => servers.spawn(
                router.serve_with_incoming_shutdown(shake_hands(connections, tls), stop_wanted()),
            ),
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

/// A server without services. tonic and hyper leave most of this without a bound, or with one that fits nobody in particular.
fn limited(max_age: Duration) -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS)
        // Streams that a peer opens and resets at once cost it little and a server much: beyond this the connection ends.
        .http2_max_pending_accept_reset_streams(Some(20))
        .http2_max_local_error_reset_streams(Some(256))
        .http2_max_header_list_size(HEADERS)
        .max_frame_size(16 << 10)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .accept_http1(false)
        // A worker that vanished without a word is noticed within half a minute.
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_connection_age(max_age)
        .max_connection_age_grace(AGE_GRACE.min(max_age))
        // Requests that begin; beyond it they are refused at once, not queued.
        .concurrency_limit_per_connection(STREAMS as usize / 2)
        .load_shed(true)
        .timeout(ANSWER)
}

/// Raises this process's limit of open files, if that is needed for so many connections.
pub(crate) fn make_room(connections: u32) -> anyhow::Result<u32> {
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
    let room = within(hard);
    ensure!(
        room > 0,
        problem!(
            "the limit of open files is {hard}, and this program needs {LEAST_FILES} at least";
            "raise it (`ulimit -n`)"
        )
    );
    let connections = connections.min(room);
    warn!(
        "the limit of open files is {hard}: room for {connections} connections of workers\nhint: `ulimit -n {needed}`"
    );
    Ok(connections)
}

/// Open files without which nothing goes: those of this program, and some of people who look on.
const LEAST_FILES: u64 = 96;

/// Connections of workers where so many files may be open: half of what is left, since strangers and guests rarely fill their part.
fn within(files: u64) -> u32 {
    u32::try_from(files.saturating_sub(LEAST_FILES) / 2).unwrap_or(u32::MAX)
}
