//! The access check before every method: the token, and the holder of the connection.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sha2::{Digest as _, Sha256};
use swfn_access::gate::Visitor;
use swfn_scheduler::turn::Holder;
use swfn_shared::access::Token;
use tonic::{
    Request, Status,
    metadata::MetadataMap,
    service::Interceptor,
    transport::{CertificateDer, server::TlsConnectInfo},
};
use tracing::warn;

/// Checks the requests of one listening socket.
#[derive(Debug, Clone)]
pub(super) struct Check {
    token: Option<Arc<Token>>,
    /// The holder of connections without a certificate.
    holder: Holder,
    /// Whether strangers may call, too.
    is_open: bool,
    refused: Arc<AtomicU64>,
}

impl Check {
    pub(super) fn new(token: Option<Token>, holder: Holder) -> Self {
        Self { token: token.map(Arc::new), holder, is_open: false, refused: Arc::default() }
    }

    /// The same check, which admits strangers. It is for health alone: probes have no token, and
    /// learn only that the coordinator serves.
    pub(super) fn open(&self) -> Self {
        Self { is_open: true, ..self.clone() }
    }

    fn token(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let Some(token) = &self.token else { return Ok(()) };
        let header = metadata.get("authorization").map(|value| value.as_bytes());
        let problem = match header.map(|value| value.strip_prefix(b"Bearer ")) {
            Some(Some(presented)) if token.is(presented) => return Ok(()),
            Some(_) => "the token is not this coordinator's",
            None => "a token is needed here",
        };
        Err(Status::unauthenticated(format!(
            "{problem}\nhint: set --token-file or SWFN_TOKEN to the token that the coordinator was \
             started with"
        )))
    }

    /// Logs a refusal, but only the 1st, 2nd, 4th, 8th ...: a flood must not fill the log.
    fn log(&self, visitor: Option<&Visitor>, status: &Status) {
        let count = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            let address = visitor.map(|visitor| visitor.address.to_string()).unwrap_or_default();
            let reason = status.message().lines().next().unwrap_or_default();
            warn!(address, refused = count, "request refused: {reason}");
        }
    }
}

impl Interceptor for Check {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let tls = request.extensions().get::<TlsConnectInfo<Visitor>>();
        let certificates = tls.and_then(TlsConnectInfo::peer_certs);
        let visitor =
            tls.map(TlsConnectInfo::get_ref).or_else(|| request.extensions().get()).cloned();
        let passed = self.token(request.metadata()).and_then(|()| match &visitor {
            Some(visitor) if !visitor.admit() => Err(Status::resource_exhausted(
                "there are too many connections\nhint: raise --max-connections",
            )),
            _ => Ok(()),
        });
        match passed {
            Ok(()) => {
                let certificate = certificates.as_ref().and_then(|chain| chain.first());
                let fingerprint = |certificate: &CertificateDer<'_>| {
                    Holder::Certificate(Sha256::digest(certificate).into())
                };
                request.extensions_mut().insert(certificate.map_or(self.holder, fingerprint));
                visitor.map(|visitor| request.extensions_mut().insert(visitor));
                Ok(request)
            }
            Err(_) if self.is_open => Ok(request),
            Err(status) => {
                self.log(visitor.as_ref(), &status);
                Err(status)
            }
        }
    }
}
