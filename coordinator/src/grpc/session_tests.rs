//! A stream while the actor is blocked.

use std::{sync::Arc, time::Duration};

use swfn_proto::v1::{
    self, coordinator_client::CoordinatorClient, coordinator_message,
    coordinator_server::CoordinatorServer,
};
use swfn_shared::{ids::TRAINER_REVISION, wire::PROTOCOL};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{service::interceptor::InterceptedService, transport::Server};

use super::{access::Check, session::SessionService};
use crate::engine::Request;
use swfn_scheduler::turn::{Holder, Reply};

#[tokio::test]
async fn workers_are_welcomed_while_the_actor_is_busy() {
    let wait = Duration::from_secs(20);
    let (requests, mut inbox) = mpsc::channel(1);
    let tick = || Request::Tick { received: oneshot::channel().0 };
    requests.send(tick()).await.unwrap();
    let welcome = v1::Welcome { sweep: "t".to_owned(), ..v1::Welcome::default() };
    let service = SessionService::new(requests.clone(), welcome, 1);
    let check = Check::new(None, Holder::Anyone);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Server::builder()
        .add_service(InterceptedService::new(CoordinatorServer::new(service), check));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));

    let open = async || {
        let (outgoing, messages) = mpsc::channel(8);
        let hello = v1::Hello {
            protocol: PROTOCOL,
            worker: "ann".to_owned(),
            trainer_revision: TRAINER_REVISION,
            device: Some(v1::Device::default()),
            ..v1::Hello::default()
        };
        let hello =
            v1::WorkerMessage { sequence: 0, kind: Some(v1::worker_message::Kind::Hello(hello)) };
        outgoing.send(hello).await.unwrap();
        let mut client = CoordinatorClient::connect(url.clone()).await.unwrap();
        let mut answers = client.session(ReceiverStream::new(messages)).await.unwrap().into_inner();
        let first = answers.message().await.unwrap().unwrap().kind;
        assert!(
            matches!(first, Some(coordinator_message::Kind::Welcome(welcome)) if welcome.sweep == "t")
        );
        (outgoing, answers)
    };
    // A worker that leaves before the actor knows it frees its slot, the only one here.
    drop(timeout(wait, open()).await.expect("a welcome"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (outgoing, mut answers) = timeout(wait, open()).await.expect("a welcome");
    let goodbye = Some(v1::worker_message::Kind::Goodbye(v1::Goodbye {}));
    outgoing.send(v1::WorkerMessage { sequence: 0, kind: goodbye }).await.unwrap();

    assert!(matches!(inbox.recv().await, Some(Request::Tick { .. })));
    let Ok(Some(Request::Join { session: 2, hello, replies, .. })) =
        timeout(wait, inbox.recv()).await
    else {
        panic!("the second joins, and first of all")
    };
    assert_eq!(hello.worker, "ann".parse().unwrap());
    replies.post(&Arc::new(Semaphore::new(1 << 20)), Reply::Acknowledge { through: 1 }).unwrap();
    assert!(matches!(
        timeout(wait, inbox.recv()).await,
        Ok(Some(Request::Message { session: 2, .. }))
    ));
    let answer = timeout(wait, answers.message()).await.unwrap().unwrap().unwrap();
    assert!(matches!(answer.kind, Some(coordinator_message::Kind::Acknowledge(_))));
}
