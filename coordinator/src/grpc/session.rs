//! One stream of one worker: introduces it to the actor, then passes messages both ways until either side ends.

use std::{
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use swfn_proto::v1::{self, coordinator_message::Kind, coordinator_server::Coordinator};
use swfn_shared::ids::WorkerId;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request as Call, Response, Status, Streaming};
use tracing::debug;

use super::convert;
use crate::engine::{Drained, Reply, Request};

/// A worker introduces itself at once.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers that wait for a worker to read them; a grant, an acknowledgement and the like for each of its messages.
const REPLIES: usize = 256;

/// The service, one for all sessions.
#[derive(Debug)]
pub(super) struct SessionService {
    requests: mpsc::Sender<Request>,
    welcome: v1::Welcome,
    next_session: AtomicU64,
}

impl SessionService {
    pub(super) fn new(requests: mpsc::Sender<Request>, welcome: v1::Welcome) -> Self {
        Self { requests, welcome, next_session: AtomicU64::new(1) }
    }
}

fn stopped<T>(_: T) -> Status {
    Status::unavailable("the coordinator is stopping")
}

#[tonic::async_trait]
impl Coordinator for SessionService {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<v1::CoordinatorMessage, Status>> + Send>>;

    async fn session(&self, call: Call<Streaming<v1::WorkerMessage>>) -> Result<Response<Self::SessionStream>, Status> {
        let mut messages = call.into_inner();
        let first = tokio::time::timeout(HELLO_TIMEOUT, messages.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no `hello` came"))??
            .ok_or_else(|| Status::failed_precondition("a stream begins with `hello`"))?;
        let hello = convert::hello(first)?;
        let worker = hello.worker.id.clone();
        let session = self.next_session.fetch_add(1, Ordering::Relaxed);
        let (replies, from_actor) = mpsc::channel(REPLIES);
        // Weak: when the actor lets go of the session, the stream must end.
        let refusals = replies.downgrade();
        self.requests.send(Request::Join { session, hello, replies }).await.map_err(stopped)?;

        // What the worker says goes to the actor; a full actor holds up this task, and with it the worker, through HTTP/2's flow control.
        let requests = self.requests.clone();
        tokio::spawn(async move {
            let end = loop {
                let message = match messages.message().await {
                    Ok(Some(message)) => message,
                    Ok(None) => break "it ended".to_owned(),
                    Err(status) => break status.to_string(),
                };
                match convert::message(message) {
                    Ok((sequence, message)) => {
                        let request = Request::Message { session, worker: worker.clone(), sequence, message };
                        if requests.send(request).await.is_err() {
                            break "the coordinator is stopping".to_owned();
                        }
                    }
                    Err(status) => {
                        let reason = status.message().to_owned();
                        if let Some(refusals) = refusals.upgrade() {
                            refusals.try_send(Reply::Refuse { reason: reason.clone() }).ok();
                        }
                        break reason;
                    }
                }
            };
            debug!(%worker, "stream over: {end}");
            requests.send(Request::StreamEnded { session, worker }).await.ok();
        });

        let welcome = v1::CoordinatorMessage { kind: Some(Kind::Welcome(self.welcome.clone())) };
        let stream = tokio_stream::once(Ok(welcome)).chain(ReceiverStream::new(from_actor).map(convert::reply));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn drain_workers(
        &self,
        call: Call<v1::DrainWorkersRequest>,
    ) -> Result<Response<v1::DrainWorkersReply>, Status> {
        let ids = call.into_inner().workers;
        if ids.is_empty() || ids.iter().any(String::is_empty) {
            return Err(Status::invalid_argument("an empty id would be the beginning of all"));
        }
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::DrainWorkers { ids, answer }).await.map_err(stopped)?;
        let Drained { drained, others } = answered.await.map_err(stopped)?;
        let names = |workers: Vec<WorkerId>| workers.iter().map(ToString::to_string).collect();
        Ok(Response::new(v1::DrainWorkersReply { drained: names(drained), others: names(others) }))
    }
}
