//! Strangers that hold connections, and clients that open and reset streams without end. A sweep
//! must finish beside them, and memory must stay bounded.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use h2::{Reason, client};
use swfn_tests::{
    process::{Process, limit, resident, wait_until},
    sweep::Sweep,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::cluster::{ALL, ANN, Cluster, axes, socket};

/// The most growth of a coordinator under attack, in KiB: buffers of HTTP/2 or TLS for 256
/// strangers, and freed memory that the allocator keeps.
const GROWTH: u64 = 40 << 10;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The header of a frame of 16,000 bytes that will not come.
const HEADERS: &[u8] = &[0, 0x3e, 0x80, 1, 0, 0, 0, 0, 1];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
/// The beginning of a TLS handshake record of 508 bytes, and of its ClientHello.
const CLIENT_HELLO: &[u8] = &[22, 3, 1, 1, 252, 1, 0, 1, 248, 3, 3];

/// A way to hold a connection: the first bytes, and further ones ten times a second.
#[derive(Clone, Copy)]
struct Hold {
    first: &'static [&'static [u8]],
    then: &'static [u8],
}

const NOTHING: Hold = Hold { first: &[], then: &[] };
const SLOW_PREFACE: Hold = Hold { first: &[b"P"], then: &[] };
const SLOW_HEADERS: Hold = Hold { first: &[PREFACE, SETTINGS, HEADERS], then: &[0x82] };
const NO_REQUEST: Hold = Hold { first: &[PREFACE, SETTINGS], then: &[] };
const PINGS: Hold = Hold { first: &[PREFACE, SETTINGS], then: PING };
const SLOW_HANDSHAKE: Hold = Hold { first: &[CLIENT_HELLO], then: &[0x11] };

async fn connect(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse().expect("an address"), 0))?;
    socket.connect(to).await
}

/// Holds a connection until the other side ends it.
async fn hold(from: &str, to: SocketAddr, hold: Hold) -> std::io::Result<()> {
    let mut stream = connect(from, to).await?;
    for part in hold.first {
        stream.write_all(part).await?;
    }
    let mut buffer = [0; 256];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => if read? == 0 { return Ok(()) },
            () = sleep(Duration::from_millis(100)) => stream.write_all(hold.then).await?,
        }
    }
}

/// Keeps so many strangers connected from one address; each reconnects soon after its connection
/// ended. Dropping the set ends them.
fn besiege(
    to: SocketAddr,
    strangers: usize,
    ways: &'static [Hold],
    ended: &Arc<AtomicUsize>,
) -> JoinSet<()> {
    let mut siege = JoinSet::new();
    for number in 0..strangers {
        let ended = Arc::clone(ended);
        siege.spawn(async move {
            loop {
                hold("127.0.0.2", to, ways[number % ways.len()]).await.ok();
                ended.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(250)).await;
            }
        });
    }
    siege
}

/// Waits for the end of the sweep. Returns the coordinator's highest memory, in KiB.
fn finish(coordinator: &mut Process) -> u64 {
    let mut most = 0;
    wait_until("the end of the sweep", || {
        if let Some(status) = coordinator.ended() {
            assert!(status.success(), "{}", coordinator.stderr());
            return Some(());
        }
        // The process may end at this moment.
        most = most.max(resident(coordinator).unwrap_or(0));
        None
    });
    most
}

/// Runs a sweep beside hundreds of strangers from one address. Each way is also tried once from an
/// address of its own, whose connection only ends by a time limit.
async fn finishes_under_siege(cluster: Cluster, server: &str, worker: &str, ways: &'static [Hold]) {
    let mut coordinator =
        cluster.coordinator("coordinator", &format!("--listen 127.0.0.1:0 {server}"));
    let address = cluster.sweep.address(&coordinator);
    let to = socket(&address);
    let before = resident(&coordinator).expect("it runs");
    let began = Instant::now();
    let ended = Arc::new(AtomicUsize::new(0));
    let siege = besiege(to, 300, ways, &ended);
    let mut alone = JoinSet::new();
    for way in ways {
        alone.spawn(async move {
            timeout(limit(), hold("127.0.0.3", to, *way))
                .await
                .expect("a stranger's connection is ended")
                .ok();
            assert!(began.elapsed() >= Duration::from_secs(10), "it had room and time");
        });
    }
    alone.join_all().await;
    let during = resident(&coordinator).expect("it runs");
    let mut worker = cluster.worker("worker", &address, worker);
    let finished = tokio::task::spawn_blocking(move || finish(&mut coordinator)).await;
    let most = finished.expect("the sweep ends").max(during);
    let ended = ended.load(Ordering::Relaxed);
    drop(siege);
    worker.succeed();
    assert_eq!(cluster.sweep.succeeded(), 3);
    assert!(ended >= 300, "only {ended} connections were ended");
    println!("{ended} connections ended; from {before} to at most {most} KiB");
    assert!(most <= before + GROWTH, "from {before} to {most} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finishes_while_strangers_hold_connections() {
    let cluster = Cluster::new(Sweep::new(&axes(3), 60));
    let token = "--token-file @pki/token";
    let ways = &[PINGS, NOTHING, SLOW_PREFACE, SLOW_HEADERS, NO_REQUEST];
    finishes_under_siege(cluster, token, token, ways).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finishes_while_strangers_hold_tls_handshakes() {
    let cluster = Cluster::new(Sweep::new(&axes(3), 60));
    finishes_under_siege(cluster, ALL, ANN, &[SLOW_HANDSHAKE, NOTHING]).await;
}

/// Opens streams and resets them at once, until the other side ends the connection or `most` are
/// through. Returns their number, and whether the coordinator ended the connection because of them.
async fn reset(
    to: SocketAddr,
    token: Option<&str>,
    streams: usize,
) -> std::io::Result<(usize, bool)> {
    let stream = connect("127.0.0.2", to).await?;
    let (sender, connection) = client::handshake(stream).await.map_err(std::io::Error::other)?;
    let connection = tokio::spawn(connection);
    let mut resets = 0;
    while resets < streams {
        let Ok(mut ready) = sender.clone().ready().await else { break };
        let mut request = http::Request::post(format!("http://{to}/swfn.v1.Coordinator/Session"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let Ok((_, mut body)) = ready.send_request(request.body(()).expect("a request"), false)
        else {
            break;
        };
        // The headers leave before the reset, or there would be nothing to reset.
        tokio::task::yield_now().await;
        body.send_reset(Reason::CANCEL);
        resets += 1;
    }
    drop(sender);
    let ended = timeout(limit(), connection)
        .await
        .expect("the connection ends")
        .expect("its task does not panic");
    let calm =
        |error: h2::Error| error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
    Ok((resets, ended.is_err_and(calm)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finishes_while_clients_reset_streams() {
    let cluster = Cluster::new(Sweep::new(&axes(3), 60));
    let mut coordinator =
        cluster.coordinator("coordinator", "--listen 127.0.0.1:0 --token-file @pki/token");
    let (address, token) = (cluster.sweep.address(&coordinator), cluster.token());
    let to = socket(&address);
    let before = resident(&coordinator).expect("it runs");
    let count = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let mut attack = JoinSet::new();
    for number in 0..4 {
        let (count, token) = (Arc::clone(&count), token.clone());
        attack.spawn(async move {
            loop {
                // Half of them know the token.
                let known = (number % 2 == 0).then_some(&*token);
                // The coordinator stops listening once the sweep is over.
                let (resets, calmed) = reset(to, known, 2_000).await.unwrap_or((0, false));
                count.0.fetch_add(resets, Ordering::Relaxed);
                count.1.fetch_add(calmed.into(), Ordering::Relaxed);
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let resets = || count.0.load(Ordering::Relaxed);
    let start = Instant::now();
    while resets() < 20_000 && start.elapsed() < limit() {
        sleep(Duration::from_millis(50)).await;
    }
    assert!(resets() >= 20_000, "only {} streams were reset", resets());
    let during = resident(&coordinator).expect("it runs");
    let mut worker = cluster.worker("worker", &address, "--token-file @pki/token");
    let finished = tokio::task::spawn_blocking(move || finish(&mut coordinator)).await;
    let most = finished.expect("the sweep ends").max(during);
    let (resets, calmed) = (resets(), count.1.load(Ordering::Relaxed));
    drop(attack);
    worker.succeed();
    assert_eq!(cluster.sweep.succeeded(), 3);
    assert!(calmed >= 1, "the coordinator ended no connection for it");
    println!(
        "{resets} streams reset, {calmed} connections ended for it; from {before} to at most {most} KiB"
    );
    assert!(most <= before + GROWTH, "from {before} to {most} KiB");
}
