//! One stream of one worker: introduces it to the actor, then passes messages both ways until
//! either side ends.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use swfn_access::gate::{self, Visitor};
use swfn_proto::v1::{self, coordinator_message::Kind, coordinator_server::Coordinator};
use swfn_scheduler::turn::Holder;
use swfn_shared::person::{PersonCommand, Refusal};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_stream::{Stream, StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::{Code, Request as Call, Response, Status, Streaming};
use tracing::{debug, info};

use super::{
    convert,
    pace::{Arrivals, Pace},
};
use crate::engine::{self, Budget, Letter, Mailbox, Request};

/// Time limit for a worker's introduction.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The service, one for all sessions on all sockets.
#[derive(Debug, Clone)]
pub(super) struct SessionService {
    requests: mpsc::Sender<Request>,
    welcome: v1::Welcome,
    next_session: Arc<AtomicU64>,
    /// Sessions that may still begin.
    slots: Arc<Semaphore>,
    /// Bytes of all streams that may be on their way to the disk.
    budget: Arc<Semaphore>,
    arrivals: Arc<Arrivals>,
}

impl SessionService {
    /// A service that refuses streams beyond `max_sessions`.
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        welcome: v1::Welcome,
        max_sessions: usize,
    ) -> Self {
        Self {
            requests,
            welcome,
            next_session: Arc::new(AtomicU64::new(1)),
            slots: Arc::new(Semaphore::new(max_sessions)),
            budget: Arc::new(Semaphore::new(engine::BYTES)),
            arrivals: Arc::default(),
        }
    }
}

fn stopped<T>(_: T) -> Status {
    Status::unavailable("the coordinator is stopping")
}

/// The holder that the access check has found.
fn holder<T>(call: &Call<T>) -> Result<Holder, Status> {
    let holder = call.extensions().get().copied();
    holder.ok_or_else(|| Status::internal("the access check did not run"))
}

#[tonic::async_trait]
impl Coordinator for SessionService {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<v1::CoordinatorMessage, Status>> + Send>>;

    async fn session(
        &self,
        call: Call<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let full = |_| {
            Status::resource_exhausted("there are too many sessions\nhint: raise --max-connections")
        };
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(full)?;
        let holder = holder(&call)?;
        let address =
            call.extensions().get::<Visitor>().map(|visitor| gate::network(visitor.address.ip()));
        let mut messages = call.into_inner();
        let first = tokio::time::timeout(HELLO_TIMEOUT, messages.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no `hello` came"))??;
        let (hello, row) = convert::hello(first.unwrap_or_default(), holder)?;
        if address.is_some_and(|address| !self.arrivals.admit(address, Instant::now())) {
            return Err(Status::resource_exhausted(
                "too many workers of this address join in a short time\n\
                 hint: wait; the worker tries again by itself",
            ));
        }
        let session = self.next_session.fetch_add(1, Ordering::Relaxed);
        let (replies, letters) = Mailbox::new();
        // A full actor holds up this task, and through HTTP/2's flow control the worker. The
        // welcome does not wait for it: an actor that waits for its disk is alive.
        let (requests, budget) = (self.requests.clone(), Budget::new(Arc::clone(&self.budget)));
        tokio::spawn(async move {
            let (worker, mut pace) = (row.id.clone(), Pace::new());
            let cost = engine::hello_cost(&hello);
            // The worker may leave before the actor has heard of it.
            let (reservation, permit) = tokio::select! {
                both = async { (budget.reserve(cost).await, requests.reserve().await) } => both,
                () = replies.closed() => return,
            };
            // The actor is gone: the stream ends.
            let Ok(permit) = permit else { return };
            // Weak: the stream must end when the actor drops the session.
            let refusals = replies.downgrade();
            let (hello, row) = (Box::new(hello), Box::new(row));
            permit.send(Request::Join { session, hello, row, replies, reservation });
            let mut slowed = pace.keep(cost).await;
            let end = loop {
                let message = match messages.message().await {
                    Ok(Some(message)) => Ok(message),
                    Ok(None) => break "it ended".to_owned(),
                    // Too large a message: without a refusal it would be sent again and again.
                    Err(status) if status.code() == Code::OutOfRange => Err(status),
                    Err(status) => break status.to_string(),
                };
                let (sequence, message) = match message.and_then(convert::message) {
                    Ok(message) => message,
                    Err(status) => {
                        let reason = status.message().to_owned();
                        if let Some(letters) = refusals.upgrade() {
                            letters.send(Letter::refusal(reason.clone())).ok();
                        }
                        break reason;
                    }
                };
                let cost = engine::cost(&message);
                let reservation = budget.reserve(cost).await;
                let request = {
                    let worker = worker.clone();
                    Request::Message { session, worker, sequence, message, reservation }
                };
                if requests.send(request).await.is_err() {
                    break "the coordinator is stopping".to_owned();
                }
                if pace.keep(cost).await && !slowed {
                    slowed = true;
                    info!(%worker, "slowed down: it sends too much");
                }
            };
            debug!(%worker, "stream over: {end}");
            requests.send(Request::StreamEnded { session, worker }).await.ok();
            drop(slot);
        });

        let letters = UnboundedReceiverStream::new(letters);
        let answers = letters.map(|letter| convert::reply(letter.reply));
        let welcome = v1::CoordinatorMessage { kind: Some(Kind::Welcome(self.welcome.clone())) };
        let stream = tokio_stream::once(Ok(welcome)).chain(answers);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn command(
        &self,
        call: Call<v1::CommandRequest>,
    ) -> Result<Response<v1::CommandReply>, Status> {
        let holder = holder(&call)?;
        let command =
            PersonCommand::parse(call.into_inner().command.as_bytes()).map_err(refused)?;
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Command { command, holder, answer }).await.map_err(stopped)?;
        let done = answered.await.map_err(stopped)?.map_err(refused)?;
        Ok(Response::new(v1::CommandReply { done: done.json() }))
    }
}

fn refused(refusal: Refusal) -> Status {
    let reason = refusal.to_string();
    match refusal {
        Refusal::Meaningless(_) => Status::invalid_argument(reason),
        Refusal::Missing(_) => Status::not_found(reason),
        Refusal::Foreign(_) => Status::permission_denied(reason),
    }
}
