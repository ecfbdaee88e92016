//! The coordinator's side of TLS. Certificates are renewed while it runs: at SIGHUP, and when their files have changed, all of them are
//! read again and take the place of the old together. What is wrong with them is logged, and the old stay. Connections that are open keep
//! what they began with; none gets older than `--max-connection-age`.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use swfn_shared::access::{Authorities, Identity};
use tokio::{signal::unix::Signal, sync::watch, time::interval};
use tracing::{error, info};

/// How often the files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(60);

/// gRPC speaks HTTP/2, and says so.
const ALPN: &[u8] = b"h2";

/// Where certificates and key are.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Whose certificates are admitted, if certificates are demanded.
    pub(crate) clients: Option<PathBuf>,
}

/// What a file was when it was read. Atomic replacements change the number, writing in place the rest.
type Stamp = Option<(u64, u64, i64, i64)>;

impl TlsFiles {
    fn read(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let identity = Identity::read(&self.certificate, &self.key)?;
        let builder = match &self.clients {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(path) => {
                let authorities = Authorities::read(path, "--tls-client-ca")?;
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(authorities.pem().as_bytes()) {
                    roots.add(certificate?)?;
                }
                ServerConfig::builder().with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build()?)
            }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate_pem().as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes())?;
        let mut config = builder.with_single_cert(chain?, key).context("cannot set up TLS")?;
        config.alpn_protocols.push(ALPN.to_vec());
        Ok(Arc::new(config))
    }

    fn stamps(&self) -> Vec<Stamp> {
        let files = [Some(&self.certificate), Some(&self.key), self.clients.as_ref()];
        let stamp = |path: &PathBuf| {
            let file = fs::metadata(path).ok()?;
            Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
        };
        files.into_iter().flatten().map(stamp).collect()
    }
}

/// What the next connection is offered.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    /// What the files were when they were read first.
    opened: Vec<Stamp>,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads all files.
    pub(crate) fn open(files: TlsFiles) -> anyhow::Result<Self> {
        let opened = files.stamps();
        let config = files.read()?;
        Ok(Self { files, opened, current: watch::Sender::new(config) })
    }

    /// For one handshake.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    fn renew(&self) {
        match self.files.read() {
            Ok(config) => {
                self.current.send_replace(config);
                info!("certificates were read again; new connections get them");
            }
            Err(error) => error!("{error:#}\nnote: the certificates stay as they were"),
        }
    }

    /// Reads the files again whenever there is a reason to, for ever.
    pub(crate) async fn keep(&self, mut hangups: Signal, look: Duration) {
        let mut looks = interval(look);
        let mut seen = self.opened.clone();
        loop {
            let asked = tokio::select! {
                _ = hangups.recv() => true,
                _ = looks.tick() => false,
            };
            // Taken before the files are read: what changes meanwhile is read once more.
            let stamps = self.files.stamps();
            if asked || stamps != seen {
                self.renew();
            }
            seen = stamps;
        }
    }
}
