//! TLS between the gate and the server: each connection is offered the certificates of that moment.

use std::{io, sync::Arc, time::Duration};

use swfn_access::{gate::Connection, tls::Tls};
use tokio::{sync::mpsc, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tracing::debug;

/// For the handshake. The gate has a time limit that includes it, and the shorter counts.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Side by side, so that a slow one holds nobody up; the gate says how many strangers there are. Ends with either stream.
pub(super) fn shake_hands(
    mut connections: ReceiverStream<io::Result<Connection>>,
    tls: Arc<Tls>,
) -> ReceiverStream<io::Result<TlsStream<Connection>>> {
    let (encrypted, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let connection = tokio::select! {
                next = connections.next() => next,
                () = encrypted.closed() => None,
            };
            let connection = match connection {
                Some(Ok(connection)) => connection,
                Some(Err(error)) => {
                    encrypted.send(Err(error)).await.ok();
                    continue;
                }
                None => return,
            };
            let (acceptor, encrypted) = (TlsAcceptor::from(tls.for_worker()), encrypted.clone());
            tokio::spawn(async move {
                match timeout(HANDSHAKE, acceptor.accept(connection)).await {
                    // A server that has stopped takes nobody any more.
                    Ok(Ok(connection)) => encrypted.send(Ok(connection)).await.unwrap_or_default(),
                    Ok(Err(error)) => debug!("no handshake: {error}"),
                    Err(_) => debug!("no handshake within {HANDSHAKE:?}"),
                }
            });
        }
    });
    ReceiverStream::new(stream)
}
