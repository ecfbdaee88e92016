//! The server on real sockets: TLS, and the time that a guest has.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use axum::http::Uri;
use clap::Parser;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use swfn_access::AccessArguments;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::{Door, HttpArguments, serve, tests::House};

/// Far beyond anything that these tests wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where workers join.
const WORKERS: &str = "https://head.example:7077";

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    access: AccessArguments,
    #[command(flatten)]
    http: HttpArguments,
}

/// A dashboard with these options: its URL, its address from here, and what stops it when it is
/// dropped.
async fn open(
    house: &House,
    options: &[String],
    next_request: Option<Duration>,
) -> (String, SocketAddr, oneshot::Sender<()>) {
    let Program { access, http } = Program::parse_from([&["x".to_owned()], options].concat());
    let mut door =
        Door::open(&http, &access.read().unwrap(), &access.door, WORKERS).await.unwrap().unwrap();
    door.next_request = next_request.unwrap_or(door.next_request);
    let url = door.url.clone();
    let port = url.parse::<Uri>().unwrap().port_u16().unwrap();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(serve(door, watch::channel(Arc::new(house.app())).1, async {
        stopped.await.ok();
    }));
    (url, SocketAddr::from(([127, 0, 0, 1], port)), stop)
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    ask_as(stream, "/api/v1/sweep", "localhost").await
}

async fn ask_as(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str, host: &str) -> String {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {SECRET}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn tls_is_needed_beyond_loopback_only() {
    let house = House::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let pair = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned(), "dash.example".to_owned()])
            .unwrap()
            .self_signed(&pair)
            .unwrap();
    let access = [
        format!("--tls-cert={}", file("c.pem", &certificate.pem())),
        format!("--tls-key={}", file("k.pem", &pair.serialize_pem())),
        format!("--token-file={}", file("token", SECRET)),
    ];

    let (url, address, _stop) =
        open(&house, &[&access[..], &["--http=0.0.0.0:0".to_owned()]].concat(), None).await;
    assert!(url.starts_with("https://"), "{url}");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.der().to_vec())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream =
        connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    assert!(ask(stream).await.starts_with("HTTP/1.1 200 OK"));
    // At any address, it has the names of this machine and of its certificate.
    for host in swfn_access::machine::names().iter().map(String::as_str).chain(["dash.example"]) {
        let stream = TcpStream::connect(address).await.unwrap();
        let stream =
            connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        assert!(
            ask_as(stream, "/api/v1/sweep", host).await.starts_with("HTTP/1.1 200 OK"),
            "{host}"
        );
    }
    let plain = ask(TcpStream::connect(address).await.unwrap()).await;
    assert!(!plain.contains("HTTP/1.1"), "{plain}");

    let (url, address, _stop) =
        open(&house, &[&access[..], &["--http=127.0.0.1:0".to_owned()]].concat(), None).await;
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert!(ask(TcpStream::connect(address).await.unwrap()).await.starts_with("HTTP/1.1 200 OK"));
    for host in swfn_access::machine::names().iter().map(String::as_str).chain(["dash.example"]) {
        let answer =
            ask_as(TcpStream::connect(address).await.unwrap(), "/api/v1/sweep", host).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{host}: {answer}");
    }
    let answer =
        ask_as(TcpStream::connect(address).await.unwrap(), "/api/v1/sweep", "other.example").await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let answer = ask_as(TcpStream::connect(address).await.unwrap(), "/healthz", "localhost").await;
    assert!(
        answer.contains(&format!("swfn-workers: {WORKERS}\r\n")),
        "a worker learns where to go: {answer}"
    );
}

/// Asks once, as a guest, and then sends these bytes, ten a second, until the connection ends;
/// returns how long that took.
async fn dawdle(address: SocketAddr, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(
            b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /api/v1/sweep HTTP/1.1\r\nhost: localhost\r\n\r\n",
        )
        .await
        .unwrap();
    let began = Instant::now();
    let mut answers = Vec::new();
    let ended = async {
        for byte in bytes.iter().cycle() {
            tokio::select! {
                read = stream.read_buf(&mut answers) => if !read.is_ok_and(|count| count > 0) { return },
                () = sleep(Duration::from_millis(100)) => drop(stream.write_all(&[*byte]).await),
            }
        }
        stream.read_to_end(&mut answers).await.ok();
    };
    timeout(PATIENCE, ended).await.expect("it ends");
    assert_eq!(String::from_utf8_lossy(&answers).matches("HTTP/1.1 200 OK").count(), 2);
    began.elapsed()
}

#[tokio::test]
async fn an_idle_guest_is_disconnected() {
    let house = House::new();
    let http = ["--http=127.0.0.1:0".to_owned()];
    let limit = Duration::from_secs(1);
    let (_, address, _stop) = open(&house, &http, Some(limit)).await;
    let (silent, slow) = tokio::join!(dawdle(address, b""), dawdle(address, b"GET / HTTP/1.1\r\n"));
    for took in [silent, slow] {
        // `dawdle` looks at the clock when its first request is on its way, the server when it has
        // answered.
        assert!(took >= limit - Duration::from_millis(200), "{silent:?} {slow:?}");
    }
    // One that is idle does not hold up the end.
    let (_, address, stop) = open(&house, &http, None).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    drop(stop);
    assert_eq!(timeout(PATIENCE, idle.read(&mut [0; 8])).await.unwrap().unwrap_or(0), 0);
    assert!(began.elapsed() < Duration::from_secs(10));
}
