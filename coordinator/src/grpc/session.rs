//! One stream of one worker: introduces it to the actor, then passes messages both ways until either side ends.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use swfn_access::gate::{self, Visitor};
use swfn_proto::v1::{self, coordinator_message::Kind, coordinator_server::Coordinator};
use swfn_scheduler::turn::{Holder, Reply};
use swfn_shared::person::{PersonCommand, Refusal};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request as Call, Response, Status, Streaming};
use tracing::{debug, info};

use super::{
    convert,
    pace::{Arrivals, Pace},
};
use crate::engine::{self, Letter, Mailbox, Request, Rooms};

/// A worker introduces itself at once.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The service, one for all sessions on all sockets.
#[derive(Debug, Clone)]
pub(super) struct SessionService {
    requests: mpsc::Sender<Request>,
    welcome: v1::Welcome,
    next_session: Arc<AtomicU64>,
    /// Sessions that may still come.
    places: Arc<Semaphore>,
    /// Bytes that may still be on their way to the disk.
    room: Arc<Semaphore>,
    arrivals: Arc<Arrivals>,
}

impl SessionService {
    /// `max_sessions`: beyond it, streams are refused at once.
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        welcome: v1::Welcome,
        max_sessions: usize,
    ) -> Self {
        Self {
            requests,
            welcome,
            next_session: Arc::new(AtomicU64::new(1)),
            places: Arc::new(Semaphore::new(max_sessions)),
            room: Arc::new(Semaphore::new(engine::BYTES)),
            arrivals: Arc::default(),
        }
    }
}

/// What a worker is told, letter by letter.
struct Answers {
    letters: mpsc::UnboundedReceiver<Letter>,
    open: Option<Box<dyn Iterator<Item = Reply> + Send>>,
}

impl Stream for Answers {
    type Item = Reply;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Reply>> {
        let this = self.get_mut();
        loop {
            if let Some(reply) = this.open.as_mut().and_then(Iterator::next) {
                return Poll::Ready(Some(reply));
            }
            let Some(letter) = ready!(this.letters.poll_recv(context)) else {
                return Poll::Ready(None);
            };
            this.open = Some(Box::new(letter.replies()));
        }
    }
}

fn stopped<T>(_: T) -> Status {
    Status::unavailable("the coordinator is stopping")
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
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        let holder = *call
            .extensions()
            .get::<Holder>()
            .ok_or_else(|| Status::internal("nobody checked this call"))?;
        let address =
            call.extensions().get::<Visitor>().map(|visitor| gate::network(visitor.address.ip()));
        let mut messages = call.into_inner();
        let first = tokio::time::timeout(HELLO_TIMEOUT, messages.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no `hello` came"))??
            .ok_or_else(|| Status::failed_precondition("a stream begins with `hello`"))?;
        let (hello, row) = convert::hello(first, holder)?;
        if address.is_some_and(|address| !self.arrivals.admit(address, Instant::now())) {
            return Err(Status::resource_exhausted(
                "too many workers of this address join in a short time\nhint: wait; the worker tries again by itself",
            ));
        }
        let worker = row.id.clone();
        let session = self.next_session.fetch_add(1, Ordering::Relaxed);
        let (replies, letters) = Mailbox::new();
        // What the worker says goes to the actor; a full actor holds up this task, and with it the worker, through HTTP/2's flow control.
        // The greeting does not wait for it: for a worker, an actor that waits for its disk is there.
        let (requests, room) = (self.requests.clone(), Arc::clone(&self.room));
        tokio::spawn(async move {
            let (rooms, mut pace) = (Rooms::new(room), Pace::new());
            let cost = engine::cost_of_hello(&hello);
            let room = tokio::select! {
                room = rooms.take(cost) => room,
                () = replies.closed() => return,
            };
            let place_in_line = tokio::select! {
                place = requests.reserve() => place,
                // The worker is gone before the actor has heard of it.
                () = replies.closed() => return,
            };
            // The actor is gone: the stream ends.
            let Ok(place_in_line) = place_in_line else { return };
            // Weak: when the actor lets go of the session, the stream must end.
            let refusals = replies.downgrade();
            let (hello, row) = (Box::new(hello), Box::new(row));
            place_in_line.send(Request::Join { session, hello, row, replies, room });
            let mut hurried = pace.keep(cost).await;
            let end = loop {
                let message = match messages.message().await {
                    Ok(Some(message)) => Ok(message),
                    Ok(None) => break "it ended".to_owned(),
                    // It would be sent again, and again.
                    Err(status) if status.code() == Code::OutOfRange => Err(status),
                    Err(status) => break status.to_string(),
                };
                match message.and_then(convert::message) {
                    Ok((sequence, message)) => {
                        let cost = engine::cost(&message);
                        let room = rooms.take(cost).await;
                        let request = Request::Message {
                            session,
                            worker: worker.clone(),
                            sequence,
                            message,
                            room,
                        };
                        if requests.send(request).await.is_err() {
                            break "the coordinator is stopping".to_owned();
                        }
                        if pace.keep(cost).await && !hurried {
                            hurried = true;
                            info!(%worker, "it says so much that it is held up");
                        }
                    }
                    Err(status) => {
                        let reason = status.message().to_owned();
                        refusals.refuse(reason.clone());
                        break reason;
                    }
                }
            };
            debug!(%worker, "stream over: {end}");
            requests.send(Request::StreamEnded { session, worker }).await.ok();
            drop(place);
        });

        let answers = Answers { letters, open: None }.map(convert::reply);
        let welcome = v1::CoordinatorMessage { kind: Some(Kind::Welcome(self.welcome.clone())) };
        let stream = tokio_stream::once(Ok(welcome)).chain(answers);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn command(
        &self,
        call: Call<v1::CommandRequest>,
    ) -> Result<Response<v1::CommandReply>, Status> {
        let holder = *call
            .extensions()
            .get::<Holder>()
            .ok_or_else(|| Status::internal("nobody checked this call"))?;
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
