//! Strangers that hold connections, clients that never read, and hundreds of visitors. The sweep
//! must finish beside them, and memory must stay bounded.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use swfn_tests::{
    page::ask,
    process::{limit, resident, wait_until},
    sweep::Sweep,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::DOORS;

/// The most growth of a coordinator, in KiB: buffers of 256 strangers and 128 guests, and freed
/// memory that the allocator keeps.
const GROWTH: u64 = 48 << 10;

/// The first bytes, and further ones ten times a second. All but the last two never become a whole
/// request.
const WAYS: [(&str, &str); 6] = [
    ("", ""),
    ("G", ""),
    ("GET / HTTP/1.1\r\n", "x: y\r\n"),
    (
        "GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    ),
    (
        "GET /api/v1/trials HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET /api/v1/cells HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ),
    ("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", ""),
];

async fn connect(from: &str, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse().expect("an address"), 0))?;
    socket.connect(to).await
}

/// Holds a connection until the other side ends it, and reads all answers.
async fn hold(from: &str, to: SocketAddr, (first, then): (&str, &str)) -> io::Result<()> {
    let mut stream = connect(from, to).await?;
    stream.write_all(first.as_bytes()).await?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => if read? == 0 { return Ok(()) },
            () = sleep(Duration::from_millis(100)) => stream.write_all(then.as_bytes()).await?,
        }
    }
}

/// Sends requests without reading until the other side ends the connection.
async fn never_read(to: SocketAddr) -> io::Result<()> {
    let mut stream = connect("127.0.0.2", to).await?;
    loop {
        stream.write_all(b"GET /dashboard.js HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finishes_beside_crowds() {
    let sweep = Sweep::new(
        "seed = { count = 3 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0",
        60,
    );
    let mut coordinator = sweep.coordinator("coordinator", &DOORS);
    let page = sweep.dashboard(&coordinator);
    let to: SocketAddr = page.parse().expect("an address");
    let before = resident(&coordinator).expect("it runs");
    let ended = Arc::new(AtomicUsize::new(0));
    let mut crowd = JoinSet::new();
    for number in 0..400 {
        let ended = Arc::clone(&ended);
        crowd.spawn(async move {
            loop {
                hold("127.0.0.2", to, WAYS[number % WAYS.len()]).await.ok();
                ended.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(250)).await;
            }
        });
    }
    // A stranger of another address keeps its slot; only the time limit ends it.
    let began = Instant::now();
    let mut alone = JoinSet::new();
    for way in &WAYS[..4] {
        alone.spawn(async move {
            timeout(limit(), hold("127.0.0.3", to, *way))
                .await
                .expect("a stranger's connection is ended")
                .ok();
            assert!(began.elapsed() >= Duration::from_secs(9), "{way:?} had room and time");
        });
    }
    for _ in 0..8 {
        alone.spawn(async move {
            timeout(limit(), never_read(to))
                .await
                .expect("who does not read is ended")
                .unwrap_err();
        });
    }
    alone.join_all().await;
    let mut most = resident(&coordinator).expect("it runs");
    let mut worker =
        sweep.worker("worker", &sweep.address(&coordinator), &["--exit-when-idle", "1"]);
    let (coordinator, most) = tokio::task::spawn_blocking(move || {
        worker.succeed();
        most = most.max(resident(&coordinator).expect("it runs"));
        // The dashboard still answers a new client, at the latest when another one has left.
        wait_until("an answer", || (ask(&page, "/healthz", &[]).status == 200).then_some(()));
        coordinator.signal(Signal::SIGTERM);
        coordinator.succeed();
        (coordinator, most)
    })
    .await
    .expect("the sweep ends");
    drop(crowd);
    let ended = ended.load(Ordering::Relaxed);
    assert_eq!(sweep.succeeded(), 3, "{}", coordinator.stderr());
    assert!(ended >= 300, "only {ended} connections were ended");
    println!("{ended} connections ended; from {before} to at most {most} KiB");
    assert!(most <= before + GROWTH, "from {before} to {most} KiB");
}
