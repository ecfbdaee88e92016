//! The listening socket and the server on it, with explicit limits.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use swfn_proto::v1::{self, coordinator_server::CoordinatorServer};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::ServingStatus;

use super::session::SessionService;
use crate::engine::Request;

/// A bound socket: the address is known, and nobody else can take it, before anything else starts.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Listener {
    /// Binds. Beyond this machine only if `insecure`: the stream is neither encrypted nor authenticated.
    pub(crate) async fn bind(address: SocketAddr, insecure: bool) -> anyhow::Result<Self> {
        if !address.ip().is_loopback() {
            anyhow::ensure!(
                insecure,
                "address `{address}` can be reached from other machines, and connections are neither encrypted nor authenticated\n\
                 hint: listen on 127.0.0.1 and tunnel (`ssh -L`), or say --insecure on a network that you trust"
            );
            tracing::warn!(%address, "listening without encryption or authentication: anyone who reaches this port can take trials and report results");
        }
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on `{address}`\nhint: choose another address with --listen"))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}

/// Serves until `stop` resolves; streams that are open then end with the actor.
pub(crate) async fn serve(
    listener: Listener,
    requests: mpsc::Sender<Request>,
    welcome: v1::Welcome,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let service = CoordinatorServer::new(SessionService::new(requests, welcome));
    reporter.set_serving::<CoordinatorServer<SessionService>>().await;
    reporter.set_service_status("", ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Server::builder()
        // tonic leaves these without a bound.
        .max_concurrent_streams(64)
        .http2_max_local_error_reset_streams(Some(256))
        .http2_max_pending_accept_reset_streams(Some(20))
        .http2_max_header_list_size(16 << 10)
        // A worker that vanished without a word is noticed within half a minute.
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(health)
        .add_service(reflection)
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener.listener).with_nodelay(Some(true)), stop)
        .await
        .context("the gRPC server failed")
}
