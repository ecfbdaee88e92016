//! The coordinator's side of TLS. Certificates are renewed while it runs: at SIGHUP, and when their files have changed, all of them are
//! read again and take the place of the old together. What is wrong with them is logged, and the old stay. Connections that are open keep
//! what they began with; none gets older than `--max-connection-age`.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use swfn_shared::access::{Authorities, Identity};
use tokio::{signal::unix::Signal, sync::watch, time::interval};
use tracing::{error, info};
use webpki::EndEntityCert;

/// How often the files are looked at.
pub const LOOK: Duration = Duration::from_secs(60);

/// gRPC speaks HTTP/2, and says so.
const GRPC: &[u8] = b"h2";

/// What the dashboard speaks.
const HTTP: &[u8] = b"http/1.1";

/// Where certificates and key are.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Whose certificates are admitted, if certificates are demanded.
    pub clients: Option<PathBuf>,
}

/// What a file was when it was read. Atomic replacements change the number, writing in place the rest.
type Stamp = Option<(u64, u64, i64, i64)>;

/// What connections are offered.
#[derive(Debug)]
struct Offers {
    workers: Arc<ServerConfig>,
    /// No certificate is asked for: browsers and Prometheus have none, and the token tells who may look.
    people: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

impl TlsFiles {
    fn read(&self) -> anyhow::Result<Offers> {
        let identity = Identity::read(&self.certificate, &self.key)?;
        let builder = match &self.clients {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(path) => {
                let authorities = Authorities::read(path, "--tls-client-ca")?;
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(authorities.pem().as_bytes()) {
                    roots.add(certificate?)?;
                }
                ServerConfig::builder()
                    .with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build()?)
            }
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(identity.certificate_pem().as_bytes())
            .collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes())?;
        let certificate = chain.first().context("there is no certificate")?.clone();
        let people = ServerConfig::builder().with_no_client_auth();
        let mut people =
            people.with_single_cert(chain.clone(), key.clone_key()).context("cannot set up TLS")?;
        people.alpn_protocols.push(HTTP.to_vec());
        let mut workers = builder.with_single_cert(chain, key).context("cannot set up TLS")?;
        workers.alpn_protocols.push(GRPC.to_vec());
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

/// What the next connection is offered.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    /// What the files were when they were read first.
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

    /// For one handshake with a worker.
    pub fn for_worker(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow().workers)
    }

    /// For one handshake with who looks at the dashboard.
    pub fn for_person(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow().people)
    }

    /// Whether the certificate is of this name or IP address.
    pub fn covers(&self, host: &str) -> bool {
        let offers = self.current.borrow();
        let (Ok(name), Ok(certificate)) =
            (ServerName::try_from(host), EndEntityCert::try_from(&offers.certificate))
        else {
            return false;
        };
        certificate.verify_is_valid_for_subject_name(&name).is_ok()
    }

    /// The first host name of the certificate that is no pattern.
    pub fn first_name(&self) -> Option<String> {
        let offers = self.current.borrow();
        let certificate = EndEntityCert::try_from(&offers.certificate).ok()?;
        certificate.valid_dns_names().find(|name| !name.contains('*')).map(str::to_ascii_lowercase)
    }

    /// Whether workers need certificates of their own.
    pub fn asks_for_certificates(&self) -> bool {
        self.files.clients.is_some()
    }

    fn renew(&self) -> anyhow::Result<()> {
        self.current.send_replace(self.files.read()?);
        info!("certificates were read again; new connections get them");
        Ok(())
    }

    /// Reads the files again whenever there is a reason to, for ever.
    pub async fn keep(&self, mut hangups: Signal, look: Duration) {
        let mut looks = interval(look);
        let mut seen = self.opened.clone();
        let mut failure = None;
        loop {
            let asked = tokio::select! {
                _ = hangups.recv() => true,
                _ = looks.tick() => false,
            };
            // Taken before the files are read: what changes meanwhile is read once more.
            let stamps = self.files.stamps();
            let news = asked || stamps != seen;
            seen = stamps;
            // What went wrong may be mended without a change of the files, as by another mode or owner: it is tried again, and said once.
            if !news && failure.is_none() {
                continue;
            }
            let renewed = self.renew().map_err(|error| format!("{error:#}"));
            let failed = renewed.err();
            if let Some(error) =
                failed.as_ref().filter(|error| news || failure.as_ref() != Some(*error))
            {
                error!("{error}\nnote: the certificates stay as they were");
            }
            failure = failed;
        }
    }
}
