//! The coordinator's side of TLS, with certificates that can be renewed.
//!
//! At SIGHUP, or when a file has changed, all files are read again and replace the old certificates
//! together. If one is wrong, the error is logged and the old ones stay. Open connections keep
//! theirs; none gets older than `--max-connection-age`.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use swfn_shared::access::{Authorities, Identity};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::interval,
};
use tracing::{error, info};
use webpki::EndEntityCert;

/// Time between two looks at the files.
pub const LOOK: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities of clients, if clients need certificates.
    pub clients: Option<PathBuf>,
}

/// Inode, length and time of a file. A replacement changes the inode, a write in place the rest.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The settings of connections.
#[derive(Debug)]
struct Offers {
    workers: Arc<ServerConfig>,
    /// Without client certificates: the token identifies browsers and Prometheus.
    people: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

impl TlsFiles {
    fn read(&self) -> anyhow::Result<Offers> {
        let identity = Identity::read(&self.certificate, &self.key)?;
        let builder = match &self.clients {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(path) => {
                let roots = Authorities::read(path, "--tls-client-ca")?.roots.into();
                ServerConfig::builder()
                    .with_client_cert_verifier(WebPkiClientVerifier::builder(roots).build()?)
            }
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(identity.certificate_pem().as_bytes())
            .collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes())?;
        let certificate = chain.first().context("there is no certificate")?.clone();
        let people = ServerConfig::builder().with_no_client_auth();
        let mut people =
            people.with_single_cert(chain.clone(), key.clone_key()).context("cannot set up TLS")?;
        people.alpn_protocols.push(b"http/1.1".to_vec());
        let mut workers = builder.with_single_cert(chain, key).context("cannot set up TLS")?;
        workers.alpn_protocols.push(b"h2".to_vec());
        Ok(Offers { workers: Arc::new(workers), people: Arc::new(people), certificate })
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

/// The certificates for new connections.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    /// The files when they were read first.
    opened: Vec<Stamp>,
    current: watch::Sender<Offers>,
}

impl Tls {
    /// Reads all files.
    pub fn open(files: TlsFiles) -> anyhow::Result<Self> {
        let opened = files.stamps();
        let offers = files.read()?;
        Ok(Self { files, opened, current: watch::Sender::new(offers) })
    }

    /// The settings of one handshake with a worker.
    pub fn for_worker(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow().workers)
    }

    /// The settings of one handshake with a client of the dashboard.
    pub fn for_person(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow().people)
    }

    /// Whether the certificate covers this name or IP address.
    pub fn covers(&self, host: &str) -> bool {
        let offers = self.current.borrow();
        let (Ok(name), Ok(certificate)) =
            (ServerName::try_from(host), EndEntityCert::try_from(&offers.certificate))
        else {
            return false;
        };
        certificate.verify_is_valid_for_subject_name(&name).is_ok()
    }

    /// The first host name in the certificate that is not a pattern.
    pub fn first_name(&self) -> Option<String> {
        let offers = self.current.borrow();
        let certificate = EndEntityCert::try_from(&offers.certificate).ok()?;
        certificate.valid_dns_names().find(|name| !name.contains('*')).map(str::to_ascii_lowercase)
    }

    /// Whether workers need certificates of their own.
    pub fn asks_for_certificates(&self) -> bool {
        self.files.clients.is_some()
    }

    /// From now on, reads the files again at each hangup and each change.
    pub fn renew(self: &Arc<Self>, look: Duration) -> io::Result<JoinHandle<()>> {
        let (tls, mut hangups) = (Arc::clone(self), signal(SignalKind::hangup())?);
        Ok(tokio::spawn(async move {
            let mut looks = interval(look);
            let mut seen = tls.opened.clone();
            let mut failure = None;
            loop {
                let asked = tokio::select! {
                    _ = hangups.recv() => true,
                    _ = looks.tick() => false,
                };
                // Taken before the files are read, so that a change meanwhile is noticed.
                let stamps = tls.files.stamps();
                let news = asked || stamps != seen;
                seen = stamps;
                // A new mode or owner may mend an error without changing the files: try again.
                if !news && failure.is_none() {
                    continue;
                }
                let failed = match tls.files.read() {
                    Ok(offers) => {
                        tls.current.send_replace(offers);
                        info!("read certificates again for new connections");
                        None
                    }
                    Err(error) => Some(format!("{error:#}")),
                };
                if let Some(error) = &failed
                    && (news || failure != failed)
                {
                    error!("{error}\nnote: the old certificates stay in use");
                }
                failure = failed;
            }
        }))
    }
}
