//! TLS between the gate and the server. Each connection gets the newest certificates.

use std::{io, sync::Arc, time::Duration};

use swfn_access::{gate::Connection, tls::Tls};
use tokio::{sync::mpsc, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tracing::debug;

/// Time limit for the handshake. The gate's limit for strangers also applies; the shorter one wins.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Shakes hands concurrently, so that a slow peer holds up nobody. The gate limits the number of
/// strangers. Ends with either stream.
pub(super) fn shake_hands(
    mut connections: ReceiverStream<io::Result<Connection>>,
    tls: Arc<Tls>,
) -> ReceiverStream<io::Result<TlsStream<Connection>>> {
    let (encrypted, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(connection) = tokio::select! {
            next = connections.next() => next,
            () = encrypted.closed() => None,
        } {
            let (acceptor, encrypted) = (TlsAcceptor::from(tls.for_worker()), encrypted.clone());
            tokio::spawn(async move {
                let shaken = match connection {
                    Ok(connection) => timeout(HANDSHAKE, acceptor.accept(connection)).await,
                    Err(error) => return encrypted.send(Err(error)).await.unwrap_or_default(),
                };
                match shaken {
                    // Fails when the server has stopped.
                    Ok(Ok(connection)) => encrypted.send(Ok(connection)).await.unwrap_or_default(),
                    Ok(Err(error)) => debug!("no handshake: {error}"),
                    Err(_) => debug!("no handshake within {HANDSHAKE:?}"),
                }
            });
        }
    });
    ReceiverStream::new(stream)
}
