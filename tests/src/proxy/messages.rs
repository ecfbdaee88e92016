//! A proxy for messages: workers take it for the coordinator, and the coordinator takes it for the
//! workers.

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand_chacha::ChaCha8Rng;
use swfn_proto::v1::{
    self,
    coordinator_client::CoordinatorClient,
    coordinator_message,
    coordinator_server::{Coordinator, CoordinatorServer},
    worker_message::Kind,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

use super::{
    mischief::{Faults, Mischief, random, repeat_positions, up_to},
    record::Record,
};

/// Time for which a restarting coordinator is retried. It saves the worker its growing pauses.
const PATIENCE: Duration = Duration::from_secs(5);

/// Silence after which a stream that loses messages is cut.
const LOSING: Duration = Duration::from_millis(300);

/// Starts a runtime with its own threads for a proxy.
///
/// # Panics
/// If threads cannot be started.
pub(super) fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads can be started")
}

/// The state that all streams share.
struct State {
    upstream: String,
    mischief: Mischief,
    random: ChaCha8Rng,
    faults: Faults,
    record: Record,
    /// All messages from and to each worker, over all its streams.
    sent: HashMap<String, Vec<v1::WorkerMessage>>,
    answers: HashMap<String, Vec<v1::CoordinatorMessage>>,
}

/// A running proxy.
pub struct MessageProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

impl MessageProxy {
    /// Listens on a free port; `upstream` is the coordinator's URL.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(upstream: &str, seed: u64, mischief: Mischief) -> Self {
        let runtime = runtime();
        let listener =
            runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = State {
            upstream: upstream.to_owned(),
            mischief,
            random: random(seed),
            faults: Faults::default(),
            record: Record::default(),
            sent: HashMap::new(),
            answers: HashMap::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let service = CoordinatorServer::new(Service(Arc::clone(&state)));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        runtime.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Self { address, state, _runtime: runtime }
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the coordinator's URL for new streams.
    pub fn lead_to(&self, upstream: &str) {
        upstream.clone_into(&mut lock(&self.state).upstream);
    }

    /// Returns the faults so far.
    pub fn faults(&self) -> Faults {
        lock(&self.state).faults
    }

    /// Reads the record of the messages so far.
    pub fn record<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&lock(&self.state).record)
    }
}

/// Ignores poisoning: a test that has panicked elsewhere has reported so there.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl Coordinator for Service {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<v1::CoordinatorMessage, Status>> + Send>>;

    async fn session(
        &self,
        call: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut from_worker = call.into_inner();
        let hello = from_worker.message().await?.ok_or_else(|| Status::cancelled("no hello"))?;
        let Some(Kind::Hello(v1::Hello { worker, .. })) = &hello.kind else {
            return Err(Status::failed_precondition("a stream begins with `hello`"));
        };
        let (worker, state) = (worker.clone(), Arc::clone(&self.0));
        let mut client = CoordinatorClient::new(connect(&state).await?);
        let (to_coordinator, outgoing) = mpsc::channel(64);
        to_coordinator.send(hello).await.ok();
        let from_coordinator = client.session(ReceiverStream::new(outgoing)).await?.into_inner();
        let (to_worker, answers) = mpsc::channel(64);
        tokio::spawn(async move {
            let down = down(&state, &worker, from_coordinator, to_worker.clone());
            tokio::pin!(down);
            tokio::select! {
                cut = up(&state, &worker, from_worker, to_coordinator) => {
                    // The last messages of an ended coordinator still arrive.
                    if !cut {
                        timeout(PATIENCE, down).await.ok();
                    }
                }
                () = &mut down => {}
            }
            to_worker.try_send(Err(Status::unavailable("the proxy has cut the stream"))).ok();
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn command(
        &self,
        call: Request<v1::CommandRequest>,
    ) -> Result<Response<v1::CommandReply>, Status> {
        CoordinatorClient::new(connect(&self.0).await?).command(call.into_inner()).await
    }
}

async fn connect(state: &Mutex<State>) -> Result<Channel, Status> {
    let start = Instant::now();
    loop {
        // A restarted coordinator has another URL.
        let upstream = lock(state).upstream.clone();
        let endpoint =
            Endpoint::from_shared(upstream).map_err(|error| Status::internal(error.to_string()))?;
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if start.elapsed() > PATIENCE => {
                return Err(Status::unavailable(error.to_string()));
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Whether a message may come again. A new `hello` begins a stream, and nothing is read after a
/// goodbye.
fn repeatable(message: &v1::WorkerMessage) -> bool {
    !matches!(message.kind, None | Some(Kind::Hello(_) | Kind::Goodbye(_)))
}

/// Chooses the messages to repeat after the newest one of a history.
fn repeats<T: Clone>(
    random: &mut ChaCha8Rng,
    mischief: &Mischief,
    faults: &mut Faults,
    history: &[T],
) -> Vec<T> {
    let places = repeat_positions(random, mischief, history.len());
    let newest = places.iter().filter(|place| **place + 1 == history.len()).count() as u64;
    faults.duplicates += newest;
    faults.replays += places.len() as u64 - newest;
    places.into_iter().map(|place| history[place].clone()).collect()
}

/// The fate of a worker's message.
enum Fate {
    /// It passes after that time, followed by these repeats.
    Pass(Duration, Vec<v1::WorkerMessage>),
    Lost,
}

impl State {
    fn fate(&mut self, worker: &str, message: &v1::WorkerMessage, reports: u32) -> Fate {
        let Self { mischief, random, faults, record, sent, .. } = self;
        if mischief.lose.is_some_and(|(keep, _)| message.sequence > 0 && reports > keep) {
            faults.lost += 1;
            return Fate::Lost;
        }
        record.note_report(worker, message);
        let sent = sent.entry(worker.to_owned()).or_default();
        let delay = up_to(random, mischief.delay);
        faults.delays += u64::from(!delay.is_zero());
        if !repeatable(message) {
            return Fate::Pass(delay, Vec::new());
        }
        sent.push(message.clone());
        Fate::Pass(delay, repeats(random, mischief, faults, sent))
    }
}

/// Passes messages of a worker on. Returns true if the stream was cut.
async fn up(
    state: &Mutex<State>,
    worker: &str,
    mut messages: Streaming<v1::WorkerMessage>,
    to: mpsc::Sender<v1::WorkerMessage>,
) -> bool {
    let lose = lock(state).mischief.lose;
    let (mut reports, mut losing) = (0, false);
    let mut resent = lock(state).record.begin_stream(worker);
    // A stream that has lost a message need not go on, so its silence is limited.
    let limit = |losing| if losing { LOSING } else { Duration::MAX };
    while let Ok(Ok(Some(message))) = timeout(limit(losing), messages.message()).await {
        reports += u32::from(message.sequence > 0);
        lock(state).record.check_resent(worker, &message, &mut resent);
        let fate = lock(state).fate(worker, &message, reports);
        match fate {
            Fate::Lost => {
                losing = true;
                if lose.is_some_and(|(keep, lose)| reports >= keep + lose) {
                    break;
                }
            }
            Fate::Pass(delay, repeats) => {
                sleep(delay).await;
                for message in std::iter::once(message).chain(repeats) {
                    if to.send(message).await.is_err() {
                        return false;
                    }
                }
            }
        }
    }
    lock(state).faults.cuts += u64::from(losing);
    losing
}

async fn down(
    state: &Mutex<State>,
    worker: &str,
    mut answers: Streaming<v1::CoordinatorMessage>,
    to: mpsc::Sender<Result<v1::CoordinatorMessage, Status>>,
) {
    loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(status) => {
                to.send(Err(status)).await.ok();
                return;
            }
        };
        let (delay, repeats) = {
            let mut guard = lock(state);
            let State { mischief, random, faults, record, answers, .. } = &mut *guard;
            record.note_answer(worker, &answer);
            use coordinator_message::Kind;
            let says_the_end =
                matches!(answer.kind, Some(Kind::Drain(_))) || record.ends_a_trial(worker, &answer);
            if mischief.deaf && says_the_end {
                faults.cuts += 1;
                return;
            }
            let answers = answers.entry(worker.to_owned()).or_default();
            let delay = up_to(random, mischief.delay);
            faults.delays += u64::from(!delay.is_zero());
            if matches!(answer.kind, None | Some(Kind::Welcome(_) | Kind::Drain(_))) {
                (delay, Vec::new())
            } else {
                answers.push(answer.clone());
                (delay, repeats(random, mischief, faults, answers))
            }
        };
        sleep(delay).await;
        for answer in std::iter::once(answer).chain(repeats) {
            if to.send(Ok(answer)).await.is_err() {
                return;
            }
        }
    }
}
