//! One connection: from the address to an open stream with the coordinator's welcome.

use std::time::Duration;

use anyhow::Error;
use swfn_proto::v1::{self, coordinator_client::CoordinatorClient, coordinator_message};
use swfn_shared::wire::MAX_MESSAGE_BYTES;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use crate::{address::Address, messages::Exit};

/// Messages on their way out; beyond it, the session waits for the network.
const OUTGOING: usize = 64;

/// Time for the coordinator's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no stream.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// The reason may pass: the session tries again.
    Lost(String),
    /// Another attempt would end the same.
    Over(Exit),
}

impl LinkError {
    pub(crate) fn closed() -> Self {
        Self::Lost("the stream is closed".to_owned())
    }
}

impl From<Status> for LinkError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated => Self::Over(Exit::Hopeless(format!(
                "the coordinator refuses this worker: {message}"
            ))),
            code => Self::Lost(format!("{message} ({code:?})")),
        }
    }
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) outgoing: mpsc::Sender<v1::WorkerMessage>,
    incoming: Streaming<v1::CoordinatorMessage>,
    pub(crate) welcome: v1::Welcome,
}

impl Link {
    /// Connects, sends the hello and waits for the welcome. If the worker `was_welcome` on an
    /// earlier stream, a lack of trust is a mistake elsewhere: the worker keeps its results and
    /// tries again.
    pub(crate) async fn open(
        address: &Address,
        hello: v1::Hello,
        was_welcome: bool,
    ) -> Result<Self, LinkError> {
        match Self::try_open(address, hello).await {
            Err(LinkError::Lost(reason)) if !was_welcome => {
                match address.probe.clone().ask(address.endpoint.uri()).await {
                    Some(problem) => Err(LinkError::Over(Exit::Hopeless(problem.to_string()))),
                    None => Err(LinkError::Lost(reason)),
                }
            }
            opened => opened,
        }
    }

    async fn try_open(address: &Address, hello: v1::Hello) -> Result<Self, LinkError> {
        let failed = |error| LinkError::Lost(Error::from(error).root_cause().to_string());
        let channel = address.endpoint.connect().await.map_err(failed)?;
        let (outgoing, stream) = mpsc::channel(OUTGOING);
        let hello =
            v1::WorkerMessage { sequence: 0, kind: Some(v1::worker_message::Kind::Hello(hello)) };
        outgoing.try_send(hello).expect("a new channel has room");
        let late = |_| LinkError::Lost(format!("no answer within {ANSWER_TIMEOUT:?}"));
        let mut request = Request::new(ReceiverStream::new(stream));
        address.authorize(&mut request);
        let open = async {
            let mut client = CoordinatorClient::new(channel)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES);
            let mut incoming = client.session(request).await?.into_inner();
            match incoming.message().await?.and_then(|message| message.kind) {
                Some(coordinator_message::Kind::Welcome(welcome)) => {
                    Ok(Self { outgoing, incoming, welcome })
                }
                other => Err(LinkError::Lost(format!("no welcome, but {other:?}"))),
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, open).await.map_err(late)?
    }

    /// The next message. Cancel-safe.
    pub(crate) async fn receive(&mut self) -> Result<coordinator_message::Kind, LinkError> {
        loop {
            match self.incoming.message().await? {
                Some(v1::CoordinatorMessage { kind: Some(kind) }) => return Ok(kind),
                // A kind that a newer coordinator knows.
                Some(v1::CoordinatorMessage { kind: None }) => {}
                None => return Err(LinkError::Lost("the coordinator ended the stream".to_owned())),
            }
        }
    }

    /// Says goodbye, then waits until the coordinator has read everything, for at most 2 s. The
    /// goodbye may get lost: no lease is held any more.
    pub(crate) async fn close(self) {
        let Self { outgoing, mut incoming, .. } = self;
        let kind = Some(v1::worker_message::Kind::Goodbye(v1::Goodbye {}));
        outgoing.send(v1::WorkerMessage { sequence: 0, kind }).await.ok();
        drop(outgoing);
        let drained = async { while let Ok(Some(_)) = incoming.message().await {} };
        tokio::time::timeout(Duration::from_secs(2), drained).await.ok();
    }
}
