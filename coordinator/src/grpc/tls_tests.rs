//! Renewal of certificates while the real listener serves.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use clap::Parser;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use swfn_access::{
    Access,
    certs::{self, CertsArguments},
    tls::{Tls, TlsFiles},
};
use swfn_proto::v1;
use swfn_shared::snapshot::Snapshot;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{Door, Listener, Service, serve};
use swfn_scheduler::turn::Holder;

/// Far beyond anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Never, as far as this test is concerned.
const NEVER: Duration = Duration::from_secs(86_400);

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    certs: CertsArguments,
}

/// An authority and its files.
struct Cluster(PathBuf);

impl Cluster {
    fn make(folder: &Path, name: &str) -> Self {
        let out = folder.join(name);
        let arguments = ["x", "--hosts", "127.0.0.1", "--out", out.to_str().unwrap()];
        certs::run(&Program::parse_from(arguments).certs).unwrap();
        Self(out)
    }

    fn pem(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(&self.pem(name)).unwrap()
    }

    /// Replaces a file that is in use, as a whole.
    fn put(&self, name: &str, live: &Path) {
        let temporary = live.with_extension("new");
        fs::write(&temporary, self.pem(name)).unwrap();
        fs::rename(temporary, live).unwrap();
    }

    fn put_all(&self, files: &TlsFiles) {
        self.put("server.pem", &files.certificate);
        self.put("server-key.pem", &files.key);
        self.put("ca.pem", files.clients.as_deref().unwrap());
    }
}

/// Two clusters, of which the second replaces the first. Clients trust both.
struct Pair(Cluster, Cluster);

impl Pair {
    fn both_authorities(&self) -> Vec<u8> {
        [self.0.pem("ca.pem"), self.1.pem("ca.pem")].concat()
    }

    /// The certificate that is offered now, to a worker of that cluster.
    async fn offered(&self, address: SocketAddr, of: &Cluster) -> CertificateDer<'static> {
        let mut roots = RootCertStore::empty();
        for cluster in [&self.0, &self.1] {
            roots.add(cluster.certificate("ca.pem")).unwrap();
        }
        let key = PrivateKeyDer::from_pem_slice(&of.pem("worker-1-key.pem")).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config =
            config.with_client_auth_cert(vec![of.certificate("worker-1.pem")], key).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = address.ip().into();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    fn worker(&self, address: SocketAddr, of: &Cluster) -> HealthClient<Channel> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.both_authorities()))
            .identity(Identity::from_pem(of.pem("worker-1.pem"), of.pem("worker-1-key.pem")));
        let endpoint =
            Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
        HealthClient::new(endpoint.connect_lazy())
    }
}

async fn is_served(worker: &mut HealthClient<Channel>) -> bool {
    worker.check(HealthCheckRequest::default()).await.is_ok()
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    async fn waits_for(&self, text: &str, times: usize) {
        let come = async {
            while self.text().matches(text).count() < times {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, come)
            .await
            .unwrap_or_else(|_| panic!("`{text}` {times} times in {}", self.text()));
    }
}

const RENEWED: &str = "read certificates again";
const REFUSED: &str = "the old certificates stay in use";

#[tokio::test]
async fn certificates_are_renewed_while_it_serves() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair(Cluster::make(folder.path(), "old"), Cluster::make(folder.path(), "new"));
    let (old, new) = (&pair.0, &pair.1);
    let live = |name: &str| folder.path().join(name);
    let files =
        TlsFiles { certificate: live("c.pem"), key: live("k.pem"), clients: Some(live("ca.pem")) };
    old.put_all(&files);
    let tls = Arc::new(Tls::open(files.clone()).unwrap());

    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), "").await.unwrap();
    let address = listener.address;
    let access = Access { tls: Some(Arc::clone(&tls)), ..Access::default() };
    let (requests, _inbox) = mpsc::channel(1);
    let welcome = v1::Welcome::default();
    let (_, snapshots) = watch::channel(Snapshot::default());
    let (max_connections, max_connection_age) = (8, NEVER);
    let service =
        Service { requests, welcome, max_connections, max_connection_age, snapshots, health: None };
    let door = Door { listener, access, holder: Holder::Anyone };
    tokio::spawn(serve(vec![door], service, std::future::pending()));
    let keeper = tls.renew(NEVER).unwrap();
    let hang_up = || kill(Pid::this(), Signal::SIGHUP).unwrap();

    let (mut old_worker, mut new_worker) = (pair.worker(address, old), pair.worker(address, new));
    assert!(is_served(&mut old_worker).await && !is_served(&mut new_worker).await);
    assert_eq!(pair.offered(address, old).await, old.certificate("server.pem"));

    // Half of the new files: a certificate, and the key of another.
    new.put("server.pem", &files.certificate);
    hang_up();
    log.waits_for(REFUSED, 1).await;
    assert!(
        log.text().contains("does not belong to the key") && log.text().contains("hint: "),
        "{}",
        log.text()
    );
    assert_eq!(pair.offered(address, old).await, old.certificate("server.pem"));

    new.put_all(&files);
    hang_up();
    log.waits_for(RENEWED, 1).await;
    assert_eq!(pair.offered(address, new).await, new.certificate("server.pem"));
    assert!(is_served(&mut pair.worker(address, new)).await);
    assert!(!is_served(&mut pair.worker(address, old)).await, "its authority is trusted no more");
    assert!(is_served(&mut old_worker).await, "a connection keeps what it began with");

    // The files change without a signal.
    keeper.abort();
    tls.renew(Duration::from_millis(20)).unwrap();
    old.put_all(&files);
    log.waits_for(RENEWED, 2).await;
    timeout(PATIENCE, async {
        while pair.offered(address, old).await != old.certificate("server.pem") {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();

    // A mended file of the same length and time is noticed, too. A broken one is logged once.
    let write = |content: &[u8], time: SystemTime| {
        let mut file = fs::File::options().write(true).open(&files.key).unwrap();
        io::Write::write_all(&mut file, content).unwrap();
        file.set_modified(time).unwrap();
    };
    let (key, later) = (old.pem("server-key.pem"), SystemTime::now() + Duration::from_secs(60));
    let refused = log.text().matches(REFUSED).count();
    write(&vec![b'x'; key.len()], later);
    log.waits_for(REFUSED, refused + 1).await;
    sleep(Duration::from_millis(300)).await;
    let refusals = log.text().matches(REFUSED).count();
    // It may be read between the write and the change of its time.
    assert!(refusals <= refused + 2, "{}", log.text());
    let renewed = log.text().matches(RENEWED).count();
    write(&key, later);
    log.waits_for(RENEWED, renewed + 1).await;
}
