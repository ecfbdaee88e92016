//! The gate before the server: limits for the number of connections and the time of strangers.
//!
//! A connection begins as a stranger's. Its first request that passes the access check makes it a
//! guest's, which stays. Strangers have little time and few slots. When all slots are taken, the
//! network that holds most of them loses its oldest. So a flood of connections evicts itself, while
//! a worker becomes a guest within a round trip or two.
//!
//! The server itself has no such limits: it waits for ever for a TLS handshake, an HTTP/2 preface
//! and a first request, and accepts without limit.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::{Sleep, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

/// Time from accepting a connection to its first request that passes the access check.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

pub const STRANGERS: usize = 256;

/// Pause after an error of the listening socket, such as too many open files, which would recur.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections of a coordinator, over all its sockets.
#[derive(Debug)]
pub struct Gate {
    max_guests: usize,
    /// Time for the first request, see [`FIRST_REQUEST`].
    first_request: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// The number is the order of arrival.
    strangers: BTreeMap<u64, Stranger>,
    guests: usize,
}

#[derive(Debug)]
struct Stranger {
    network: IpAddr,
    /// A message ends the connection.
    evict: oneshot::Sender<()>,
}

/// The network that one peer controls: an IPv4 address, or 64 bits of an IPv6 address.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(
            || Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            IpAddr::V4,
        ),
    }
}

impl State {
    /// The oldest stranger of the network that has most of them.
    fn oldest_of_the_largest_network(&self) -> Option<u64> {
        let mut networks: HashMap<IpAddr, (usize, Reverse<u64>)> = HashMap::new();
        for (number, stranger) in &self.strangers {
            networks.entry(stranger.network).or_insert((0, Reverse(*number))).0 += 1;
        }
        networks.into_values().max().map(|(_, Reverse(oldest))| oldest)
    }
}

impl Gate {
    pub fn new(max_guests: usize) -> Arc<Self> {
        Arc::new(Self { max_guests, first_request: FIRST_REQUEST, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and each change is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, address: IpAddr) -> (Slot, oneshot::Receiver<()>) {
        let (evict, evicted) = oneshot::channel();
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.strangers.insert(number, Stranger { network: network(address), evict });
        if state.strangers.len() > STRANGERS
            && let Some(victim) = state.oldest_of_the_largest_network()
            && let Some(stranger) = state.strangers.remove(&victim)
        {
            stranger.evict.send(()).ok();
        }
        (Slot { gate: Arc::clone(self), number, guest: AtomicBool::new(false) }, evicted)
    }
}

/// The slot of a connection; dropping it frees the slot.
#[derive(Debug)]
struct Slot {
    gate: Arc<Gate>,
    number: u64,
    guest: AtomicBool,
}

impl Slot {
    fn is_guest(&self) -> bool {
        self.guest.load(Ordering::Acquire)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if self.is_guest() {
            state.guests -= 1;
        } else {
            state.strangers.remove(&self.number);
        }
    }
}

/// The peer of a connection; an extension of each of its requests.
#[derive(Debug, Clone)]
pub struct Visitor {
    slot: Arc<Slot>,
    pub address: SocketAddr,
}

impl Visitor {
    /// Makes the visitor a guest; false if there are too many.
    pub fn admit(&self) -> bool {
        let mut state = self.slot.gate.state();
        if self.slot.is_guest() {
            return true;
        }
        if state.guests >= self.slot.gate.max_guests {
            return false;
        }
        state.guests += 1;
        // The connection may notice that its sender is dropped, so the flag comes first.
        self.slot.guest.store(true, Ordering::Release);
        state.strangers.remove(&self.slot.number);
        true
    }
}

/// A connection that ends unless it becomes a guest's in time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    visitor: Visitor,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    Stranger { deadline: Pin<Box<Sleep>>, evicted: oneshot::Receiver<()> },
    Guest,
    Over(io::ErrorKind),
}

impl Connection {
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Fails when the time of a stranger is over. Every read and write checks it, so that no way to
    /// do nothing is left.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Standing::Stranger { deadline, evicted } = &mut self.standing {
            let is_guest = self.visitor.slot.is_guest();
            match Pin::new(evicted).poll(context) {
                // Without a sender, the visitor has just become a guest.
                _ if is_guest => self.standing = Standing::Guest,
                Poll::Ready(Err(_)) => self.standing = Standing::Guest,
                Poll::Ready(Ok(())) => {
                    self.standing = Standing::Over(io::ErrorKind::ConnectionAborted)
                }
                Poll::Pending if deadline.as_mut().poll(context).is_ready() => {
                    let Visitor { slot, address } = &self.visitor;
                    debug!(%address, "no request within {:?}", slot.gate.first_request);
                    self.standing = Standing::Over(io::ErrorKind::TimedOut);
                }
                Poll::Pending => {}
            }
        }
        match self.standing {
            Standing::Over(kind) => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Visitor;

    fn connect_info(&self) -> Visitor {
        self.visitor.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Accepts until the stream is dropped.
pub fn accept(listener: TcpListener, gate: Arc<Gate>) -> ReceiverStream<io::Result<Connection>> {
    let (accepted, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let result = tokio::select! {
                result = listener.accept() => result,
                () = accepted.closed() => return,
            };
            match result {
                Ok((stream, address)) => {
                    stream.set_nodelay(true).ok();
                    let (slot, evicted) = gate.enter(address.ip());
                    let visitor = Visitor { slot: Arc::new(slot), address };
                    let deadline = Box::pin(sleep(gate.first_request));
                    let standing = Standing::Stranger { deadline, evicted };
                    if accepted.send(Ok(Connection { stream, visitor, standing })).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    warn!("a connection could not be accepted: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    });
    ReceiverStream::new(stream)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::{Instant, timeout},
    };
    use tokio_stream::StreamExt as _;

    use super::*;

    /// Longer than these tests ever wait, and shorter than a hang.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// Time for a first request that does not come.
    const SOON: Duration = Duration::from_secs(1);

    async fn pair(
        stream: &mut ReceiverStream<io::Result<Connection>>,
        address: SocketAddr,
    ) -> (TcpStream, Connection) {
        let client = TcpStream::connect(address).await.unwrap();
        (client, stream.next().await.unwrap().unwrap())
    }

    /// Strangers and guests.
    fn counts(gate: &Gate) -> (usize, usize) {
        let state = gate.state();
        (state.strangers.len(), state.guests)
    }

    async fn gate(
        max_guests: usize,
        first_request: Duration,
    ) -> (Arc<Gate>, ReceiverStream<io::Result<Connection>>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(Gate { max_guests, first_request, state: Mutex::default() });
        (Arc::clone(&gate), accept(listener, gate), address)
    }

    #[tokio::test]
    async fn strangers_have_little_time_and_guests_have_all() {
        let (_gate, mut stream, address) = gate(8, SOON).await;
        let began = Instant::now();
        let (mut guest_client, mut guest) = pair(&mut stream, address).await;
        let (mut slow_client, mut slow) = pair(&mut stream, address).await;
        assert!(guest.visitor.admit() && guest.visitor.admit(), "once is enough");
        slow_client.write_all(b"P").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(slow.read(&mut buffer).await.unwrap(), 1, "it is heard until its time is over");
        let over =
            timeout(PATIENCE, slow.read(&mut buffer)).await.expect("a deadline").unwrap_err();
        assert_eq!(over.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= SOON);
        assert_eq!(
            slow.write(b"x").await.unwrap_err().kind(),
            io::ErrorKind::TimedOut,
            "nor may it write"
        );
        guest_client.write_all(b"hello").await.unwrap();
        assert_eq!(guest.read(&mut buffer).await.unwrap(), 5);
    }

    #[tokio::test]
    async fn the_oldest_stranger_makes_room() {
        let (gate, mut stream, address) = gate(8, PATIENCE).await;
        let mut all = Vec::new();
        for _ in 0..STRANGERS {
            all.push(pair(&mut stream, address).await);
        }
        assert!(all[0].1.visitor.admit());
        assert_eq!(counts(&gate).0, STRANGERS - 1);
        for _ in 0..2 {
            all.push(pair(&mut stream, address).await);
        }
        assert_eq!(counts(&gate), (STRANGERS, 1));
        let mut buffer = [0; 8];
        let evicted =
            timeout(PATIENCE, all[1].1.read(&mut buffer)).await.expect("at once").unwrap_err();
        assert_eq!(evicted.kind(), io::ErrorKind::ConnectionAborted);
        for place in [0, 2] {
            all[place].0.write_all(b"hi").await.unwrap();
            assert_eq!(all[place].1.read(&mut buffer).await.unwrap(), 2, "{place}");
        }
        drop(all);
        assert_eq!(counts(&gate), (0, 0));
    }

    #[test]
    fn the_network_with_most_strangers_loses_one() {
        let mut state = State::default();
        let addresses = [
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.2",
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8::3",
            "::ffff:10.0.0.2",
        ];
        for (number, address) in addresses.iter().enumerate() {
            let (evict, _) = oneshot::channel();
            let network = network(address.parse().unwrap());
            state.strangers.insert(number as u64, Stranger { network, evict });
        }
        // Two networks have three: the older one.
        for victim in [1, 3, 2, 4, 0] {
            assert_eq!(state.oldest_of_the_largest_network(), Some(victim));
            state.strangers.remove(&victim);
        }
    }

    #[tokio::test]
    async fn guests_beyond_the_limit_are_refused() {
        let (gate, mut stream, address) = gate(1, PATIENCE).await;
        let (first, second) = (pair(&mut stream, address).await, pair(&mut stream, address).await);
        assert!(first.1.visitor.admit() && !second.1.visitor.admit());
        drop(first);
        assert!(second.1.visitor.admit());
        assert_eq!(counts(&gate).1, 1);
    }
}
