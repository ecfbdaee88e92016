//! The session of a fake worker, whose messages the test chooses.

use swfn_proto::v1::{self, coordinator_client::CoordinatorClient, worker_message::Kind};
use swfn_shared::{ids::TRAINER_REVISION, wire::PROTOCOL};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, transport::Channel};

use crate::process::limit;

/// A worker's stream, written and read by the test.
#[derive(Debug)]
pub struct FakeWorker {
    /// Messages to the coordinator.
    pub outgoing: mpsc::Sender<v1::WorkerMessage>,
    /// Messages from the coordinator.
    pub incoming: Streaming<v1::CoordinatorMessage>,
}

impl FakeWorker {
    /// Opens a session and reads the welcome.
    ///
    /// # Errors
    /// With the status of the coordinator's refusal.
    ///
    /// # Panics
    /// If the coordinator's first message is not a welcome.
    pub async fn open(channel: Channel, token: &str, hello: v1::Hello) -> Result<Self, Status> {
        let (outgoing, messages) = mpsc::channel(64);
        let first = v1::WorkerMessage { sequence: 0, kind: Some(Kind::Hello(hello)) };
        outgoing.send(first).await.expect("a new channel has room");
        let mut request = Request::new(ReceiverStream::new(messages));
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse().expect("visible ASCII"));
        let mut incoming = CoordinatorClient::new(channel).session(request).await?.into_inner();
        let welcome = incoming.message().await?.and_then(|message| message.kind);
        assert!(matches!(welcome, Some(v1::coordinator_message::Kind::Welcome(_))), "{welcome:?}");
        Ok(Self { outgoing, incoming })
    }

    /// Sends a message with a sequence number, or 0.
    ///
    /// # Panics
    /// If the stream has ended.
    pub async fn send(&self, sequence: u64, kind: Kind) {
        self.outgoing
            .send(v1::WorkerMessage { sequence, kind: Some(kind) })
            .await
            .expect("the stream is open");
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// With the status that ended the stream.
    ///
    /// # Panics
    /// If neither comes within the time limit of tests.
    pub async fn next(&mut self) -> Result<v1::coordinator_message::Kind, Status> {
        match timeout(limit(), self.incoming.message())
            .await
            .expect("a message, or the end of the stream")?
        {
            Some(message) => Ok(message.kind.expect("a kind that this test knows")),
            None => Err(Status::ok("ended")),
        }
    }
}

/// Makes a minimal `hello` for that worker.
pub fn hello(worker: &str) -> v1::Hello {
    v1::Hello {
        protocol: PROTOCOL,
        trainer_revision: TRAINER_REVISION,
        worker: worker.into(),
        device: Some(v1::Device::default()),
        ..v1::Hello::default()
    }
}
