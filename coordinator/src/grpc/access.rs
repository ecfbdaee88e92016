//! The access check before every method: the token, and whose the connection is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sha2::{Digest as _, Sha256};
use swfn_access::gate::Visitor;
use swfn_shared::access::Token;
use tonic::{
    Request, Status,
    metadata::MetadataMap,
    service::Interceptor,
    transport::{CertificateDer, server::TlsConnectInfo},
};
use tracing::warn;

use swfn_scheduler::turn::Holder;

/// Whether a method is open to strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Openness {
    /// Health: probes know no token, and learn nothing but that the coordinator serves.
    Open,
    Closed,
}

/// Checks requests of one listening socket.
#[derive(Debug, Clone)]
pub(super) struct Check {
    token: Option<Arc<Token>>,
    /// Of connections without a certificate.
    holder: Holder,
    openness: Openness,
    refused: Arc<AtomicU64>,
}

impl Check {
    pub(super) fn new(token: Option<Token>, holder: Holder) -> Self {
        Self {
            token: token.map(Arc::new),
            holder,
            openness: Openness::Closed,
            refused: Arc::default(),
        }
    }

    pub(super) fn with(&self, openness: Openness) -> Self {
        Self { openness, ..self.clone() }
    }

    fn token(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let Some(token) = &self.token else { return Ok(()) };
        let hint = "hint: say --token-file, or set SWFN_TOKEN, to the token that the coordinator was started with";
        match metadata.get("authorization").map(|value| value.as_bytes().strip_prefix(b"Bearer ")) {
            Some(Some(presented)) if token.is(presented) => Ok(()),
            Some(_) => {
                Err(Status::unauthenticated(format!("the token is not this coordinator's\n{hint}")))
            }
            None => Err(Status::unauthenticated(format!("a token is needed here\n{hint}"))),
        }
    }

    /// Says so, but not every time: whoever floods the port shall not flood the log.
    fn note(&self, visitor: Option<&Visitor>, status: &Status) {
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
                let holder = certificate.map_or_else(|| self.holder, fingerprint);
                request.extensions_mut().insert(holder);
                if let Some(visitor) = visitor {
                    request.extensions_mut().insert(visitor);
                }
                Ok(request)
            }
            Err(_) if self.openness == Openness::Open => Ok(request),
            Err(status) => {
                self.note(visitor.as_ref(), &status);
                Err(status)
            }
        }
    }
}

fn fingerprint(certificate: &CertificateDer<'_>) -> Holder {
    Holder::Certificate(Sha256::digest(certificate).into())
}
