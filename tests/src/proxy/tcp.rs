//! A proxy for bytes: it delays, throttles, stalls or swallows them, and cuts connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::watch,
};

/// The treatment of bytes, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes pass at once.
    Pass,
    /// Bytes pass after that time.
    Delay(Duration),
    /// At most so many bytes pass in a second.
    Throttle(u32),
    /// Bytes wait for another mode, as behind a network that heals.
    Hold,
    /// Bytes vanish, while each side believes in the other. Such a stream does not recover and has
    /// to be cut.
    Swallow,
}

/// The way of cutting a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// In order, by FIN.
    Close,
    /// At once, by RST.
    Reset,
}

struct Control {
    mode: watch::Sender<Mode>,
    cut: watch::Sender<(u64, Cut)>,
    open: AtomicU64,
    cuts: AtomicU64,
    bytes: AtomicU64,
}

/// A running proxy. Dropping it cuts all its connections.
pub struct TcpProxy {
    address: SocketAddr,
    control: Arc<Control>,
    _runtime: Runtime,
}

impl TcpProxy {
    /// Listens on a free port and connects to `upstream`, `HOST:PORT`, for each connection.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(upstream: &str) -> Self {
        let runtime = super::messages::runtime();
        let listener =
            runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let control = Control {
            mode: watch::Sender::new(Mode::Pass),
            cut: watch::Sender::new((0, Cut::Close)),
            open: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        let control = Arc::new(control);
        runtime.spawn(listen(listener, upstream.to_owned(), Arc::clone(&control)));
        Self { address, control, _runtime: runtime }
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the mode of all connections.
    pub fn set(&self, mode: Mode) {
        self.control.mode.send_replace(mode);
    }

    /// Cuts all connections.
    pub fn cut(&self, cut: Cut) {
        self.control.cut.send_modify(|(number, how)| {
            *number += 1;
            *how = cut;
        });
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> u64 {
        self.control.open.load(Ordering::Relaxed)
    }

    /// Returns the number of cut connections.
    pub fn cuts(&self) -> u64 {
        self.control.cuts.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes that did not pass at once.
    pub fn disturbed_bytes(&self) -> u64 {
        self.control.bytes.load(Ordering::Relaxed)
    }
}

async fn listen(listener: TcpListener, upstream: String, control: Arc<Control>) {
    while let Ok((near, _)) = listener.accept().await {
        let (upstream, control) = (upstream.clone(), Arc::clone(&control));
        tokio::spawn(async move {
            // If the far side refuses, so does this one.
            if let Ok(far) = TcpStream::connect(upstream).await {
                near.set_nodelay(true).and(far.set_nodelay(true)).ok();
                control.open.fetch_add(1, Ordering::Relaxed);
                connection(near, far, &control).await;
                control.open.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
}

async fn connection(mut near: TcpStream, mut far: TcpStream, control: &Control) {
    let mut cut = control.cut.subscribe();
    let how = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        tokio::select! {
            () = copy(near_read, far_write, control) => None,
            () = copy(far_read, near_write, control) => None,
            _ = cut.changed() => Some(cut.borrow().1),
        }
    };
    if how.is_some() {
        control.cuts.fetch_add(1, Ordering::Relaxed);
    }
    if how == Some(Cut::Reset) {
        near.set_zero_linger().and(far.set_zero_linger()).ok();
    }
}

async fn copy(
    mut from: tokio::net::tcp::ReadHalf<'_>,
    mut to: tokio::net::tcp::WriteHalf<'_>,
    control: &Control,
) {
    let mut buffer = vec![0; 4096];
    let mut mode = control.mode.subscribe();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let now = *mode.borrow_and_update();
        if now != Mode::Pass {
            control.bytes.fetch_add(read as u64, Ordering::Relaxed);
        }
        match now {
            Mode::Pass => {}
            Mode::Delay(time) => tokio::time::sleep(time).await,
            Mode::Throttle(rate) => {
                tokio::time::sleep(Duration::from_secs(1) * read as u32 / rate).await
            }
            Mode::Hold => drop(mode.wait_for(|mode| *mode != Mode::Hold).await),
            Mode::Swallow => continue,
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
