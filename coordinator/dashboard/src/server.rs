//! The socket, and the limits for those who connect.
//!
//! The gate stands before strangers, as it does before gRPC. A guest's connection ends when it
//! sends nothing for a while, does not read its answer, or is old. Only HTTP/1.1 is spoken, which
//! has no streams to open and reset.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use swfn_access::{
    Access, DoorArguments,
    gate::{self, Connection, Gate},
    listen, machine,
    tls::Tls,
};
use swfn_shared::{address::Host, problem, problem::OrProblem as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt as _;
use tonic::transport::server::Connected as _;
use tracing::{debug, warn};

use super::{
    app::App,
    arguments::{HttpArguments, Place},
    guard::Guard,
    routes::{self, Local, Stage},
};

const DEFAULT_PORT: u16 = 7078;

/// Ports that are tried before any other one.
const TRIED: u16 = 100;

/// The most connections of guests. A browser opens up to six for one page.
pub const CONNECTIONS: usize = 128;

/// The most bytes of the headers of one request, and of its buffer.
const HEADERS: usize = 16 << 10;

/// [`Door::next_request`], unless a test is in a hurry.
const NEXT_REQUEST: Duration = Duration::from_secs(10);

/// The longest pause while an answer is written.
const WRITE: Duration = Duration::from_secs(10);

/// The age at which a connection ends. A browser opens another.
const AGE: Duration = Duration::from_secs(600);

/// The time that an answer has to end when its connection is too old, or the program ends.
const GRACE: Duration = Duration::from_secs(2);

const HANDSHAKE: Duration = Duration::from_secs(10);

/// Bytes that the kernel buffers of an answer that nobody reads.
const SEND_BUFFER: u32 = 128 << 10;

/// A bound socket and its access check.
pub struct Door {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    guard: Guard,
    /// The time limit for the headers of a request, and between two requests.
    pub(crate) next_request: Duration,
    /// The address for people.
    pub url: String,
    /// The address where workers join, for those that come here by mistake.
    workers: String,
}

impl Door {
    /// Binds, unless the dashboard is off. `workers`: the address where workers join.
    pub async fn open(
        arguments: &HttpArguments,
        access: &Access,
        rule: &DoorArguments,
        workers: &str,
    ) -> anyhow::Result<Option<Self>> {
        let (listener, said) = match &arguments.http {
            Some(Place::Off) => return Ok(None),
            Some(Place::At(said)) => {
                let address = listen::resolve(said, "--http")?;
                rule.check(address, access).context("the dashboard")?;
                let listener = bind(address).or_problem(|| {
                    problem!(
                        "cannot listen on `{address}`";
                        "choose another address for the dashboard with --http"
                    )
                })?;
                (listener, said.host.clone())
            }
            None => {
                let none = || problem!("cannot listen for the dashboard"; "say --http off");
                (bind_to_next().or_problem(none)?, Host::Any)
            }
        };
        let address = listener.local_addr()?;
        let mut hosts = arguments.http_hosts.clone();
        hosts.extend(machine::names());
        hosts.extend(machine::addresses().iter().map(ToString::to_string));
        if let Host::Name(name) = &said {
            hosts.push(name.clone());
        }
        let mut guard = Guard::new(hosts, access.token.clone());
        guard.tls = access.tls.clone();
        guard.frames = arguments.http_frames.clone();
        let mut access = access.clone();
        if address.ip().is_loopback() {
            // That connection cannot be overheard, and certificates have other names.
            access.tls = None;
        }
        let url = access.url(address, &said);
        let (tls, next_request, workers) = (access.tls, NEXT_REQUEST, workers.to_owned());
        Ok(Some(Self { listener, tls, guard, next_request, url, workers }))
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(256)
}

/// Binds to the default port, or the next free one: a tunnel to a few ports finds every page.
fn bind_to_next() -> io::Result<TcpListener> {
    let at = |port| bind((Ipv4Addr::LOCALHOST, port).into());
    for port in DEFAULT_PORT..DEFAULT_PORT + TRIED {
        match at(port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Ok(listener) if port != DEFAULT_PORT => {
                warn!("port {DEFAULT_PORT} is taken, so the dashboard is on port {port}");
                return Ok(listener);
            }
            result => return result,
        }
    }
    at(0)
}

/// Serves with the newest app until `stop` resolves. All connections to the file are closed then.
pub async fn serve(door: Door, apps: watch::Receiver<Arc<App>>, stop: impl Future<Output = ()>) {
    let router = routes::router(Stage(apps.clone()), door.guard, &door.workers);
    let (stopping, stopped) = watch::channel(false);
    let mut incoming = gate::accept(door.listener, Gate::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut upkeep = interval(Duration::from_secs(5));
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            // New samples are merged into histograms, so that they do not pile up.
            _ = upkeep.tick() => apps.borrow().prometheus.iter().for_each(|p| p.run_upkeep()),
            Some(_) = connections.join_next() => {}
            Some(Ok(connection)) = incoming.next() => {
                let (tls, router) = (door.tls.clone(), router.clone());
                let talk = converse(connection, tls, router, door.next_request, stopped.clone());
                connections.spawn(talk);
            }
        }
    }
    drop(incoming);
    stopping.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    timeout(GRACE, all).await.ok();
    connections.shutdown().await;
    let reader = apps.borrow().reader.clone();
    reader.close().await;
}

/// One connection from its first byte to its end.
async fn converse(
    connection: Connection,
    tls: Option<Arc<Tls>>,
    router: Router,
    next_request: Duration,
    stopped: watch::Receiver<bool>,
) {
    let visitor = connection.connect_info();
    let Ok(local) = connection.local_addr() else { return };
    let router = router.layer(axum::Extension(visitor)).layer(axum::Extension(Local(local.ip())));
    let mut stream = TimeoutStream::new(connection);
    stream.set_write_timeout(Some(WRITE));
    let stream = Box::pin(stream);
    match tls {
        None => answer(stream, router, next_request, stopped).await,
        Some(tls) => {
            match timeout(HANDSHAKE, TlsAcceptor::from(tls.for_person()).accept(stream)).await {
                Ok(Ok(stream)) => answer(stream, router, next_request, stopped).await,
                Ok(Err(error)) => debug!("TLS handshake: {error}"),
                Err(_) => debug!("no TLS handshake within {HANDSHAKE:?}"),
            }
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    next_request: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(next_request)
        .max_headers(64)
        .max_header_size(HEADERS)
        .max_buf_size(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let over = async {
        tokio::select! {
            () = sleep(AGE) => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    };
    let result = tokio::select! {
        result = &mut connection => result,
        () = over => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        debug!("a connection of the dashboard ended: {error}");
    }
}
