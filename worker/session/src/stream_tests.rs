//! A session on a real stream, with a scripted coordinator.

use std::{
    pin::Pin,
    sync::mpsc::{self as std_mpsc, Sender},
    time::{Duration, Instant},
};

use swfn_proto::{
    Message as _,
    v1::{
        self, coordinator_message,
        coordinator_server::{Coordinator, CoordinatorServer},
        worker_message::Kind,
    },
};
use swfn_shared::{
    capacity::Capacity,
    ids::LeaseId,
    metrics::{MetricPoint, TRAIN_LOSS},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tokio_stream::{
    Stream,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Response, Status, Streaming, transport::Server};

use crate::{
    Access, Address, End, Exit, Hooks, Order, OutboxLimits, Protocol, Report, Session, StayLimits,
    Stop,
    protocol_tests::{WELCOME, grant, leases},
};

type Said = Result<v1::CoordinatorMessage, Status>;

/// Both ends of a worker's stream. A stream that ends is followed by another, with the same ends.
#[derive(Clone)]
struct Host {
    heard: mpsc::Sender<Kind>,
    streams: std::sync::Arc<tokio::sync::Mutex<mpsc::Receiver<mpsc::Receiver<Said>>>>,
}

#[tonic::async_trait]
impl Coordinator for Host {
    type SessionStream = Pin<Box<dyn Stream<Item = Said> + Send>>;

    async fn session(
        &self,
        call: tonic::Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let answers =
            self.streams.lock().await.recv().await.ok_or_else(|| Status::unavailable("no more"))?;
        let (mut messages, heard) = (call.into_inner(), self.heard.clone());
        tokio::spawn(async move {
            while let Ok(Some(v1::WorkerMessage { kind: Some(kind), .. })) =
                messages.message().await
            {
                if heard.send(kind).await.is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn command(
        &self,
        _: tonic::Request<v1::CommandRequest>,
    ) -> Result<Response<v1::CommandReply>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }
}

/// A coordinator, its worker's session and the trainer's ends, all played by the test.
struct Stage {
    heard: mpsc::Receiver<Kind>,
    streams: mpsc::Sender<mpsc::Receiver<Said>>,
    orders: std_mpsc::Receiver<Order>,
    reports: mpsc::Sender<Report>,
    stop: watch::Sender<bool>,
    session: tokio::task::JoinHandle<Exit>,
}

/// The session of a worker whose coordinator is at that address.
fn session(
    url: &str,
    outbox: OutboxLimits,
    orders: Sender<Order>,
    reports: mpsc::Receiver<Report>,
    stop: watch::Receiver<bool>,
) -> Session {
    let address = Address::new(url, Access::default()).unwrap();
    let hooks =
        Hooks { welcomed: || {}, leased: |_| {}, let_go: |_| {}, settled: Box::new(|_| {}) };
    let protocol = Protocol::new(outbox, StayLimits::default(), Instant::now());
    let hello = v1::Hello::default();
    Session { hello, address, protocol, orders, reports, stop, patience: None, hooks }
}

impl Stage {
    async fn set(limits: OutboxLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (hears, heard) = mpsc::channel(1_000);
        let (streams, waiting) = mpsc::channel(10);
        let host = Host { heard: hears, streams: std::sync::Arc::new(waiting.into()) };
        let server = Server::builder().add_service(CoordinatorServer::new(host));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let (orders_in, orders) = std_mpsc::channel();
        let (reports, report_queue) = mpsc::channel(64);
        let (stop, stopping) = watch::channel(false);
        let session = tokio::spawn(session(&url, limits, orders_in, report_queue, stopping).run());
        Self { heard, streams, orders, reports, stop, session }
    }

    /// The coordinator's end of the worker's next stream, which begins with a welcome.
    async fn stream(&self) -> mpsc::Sender<Said> {
        let (sender, receiver) = mpsc::channel(100);
        say(&sender, coordinator_message::Kind::Welcome(WELCOME)).await;
        self.streams.send(receiver).await.unwrap();
        sender
    }

    /// The worker's next message that matters to the test.
    async fn hear<T>(&mut self, wanted: impl Fn(&Kind) -> Option<T>) -> T {
        let hear = async {
            loop {
                let kind = self.heard.recv().await.expect("the session goes on");
                if let Some(wanted) = wanted(&kind) {
                    return wanted;
                }
            }
        };
        timeout(Duration::from_secs(20), hear).await.expect("the worker says what is expected")
    }

    async fn order(&self) -> Order {
        let wait = async {
            loop {
                if let Ok(order) = self.orders.try_recv() {
                    return order;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.expect("an order")
    }
}

async fn say(stream: &mpsc::Sender<Said>, kind: coordinator_message::Kind) {
    stream.send(Ok(v1::CoordinatorMessage { kind: Some(kind) })).await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_draining_and_returns_leases() {
    let mut stage = Stage::set(OutboxLimits::in_folder(std::env::temp_dir())).await;
    let stream = stage.stream().await;
    say(&stream, grant(&leases(1))).await;
    let order = stage.order().await;
    say(
        &stream,
        coordinator_message::Kind::Drain(v1::Drain {
            reason: "a person says so".to_owned(),
            finished: false,
        }),
    )
    .await;
    // Once it has heard that, it wants no more trials.
    stage.reports.send(Report::Wants(Capacity { lanes: 3, ..Capacity::default() })).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(order.cancel.asked(), None, "it may finish what it holds");

    stage.stop.send_replace(true);
    let asked = async {
        while order.cancel.asked().is_none() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), asked).await.expect("the trainer is asked to stop");
    assert_eq!(order.cancel.asked(), Some(Stop::GiveBack));
    stage.reports.send(Report::Ended { lease: order.lease, end: End::Released }).await.unwrap();
    let released = stage
        .hear(|kind| match kind {
            Kind::Released(released) => Some(released.lease.clone()),
            _ => None,
        })
        .await;
    assert_eq!(released, Some(order.lease.into()));
    say(&stream, coordinator_message::Kind::Acknowledge(v1::Acknowledge { through: 1 })).await;
    assert_eq!(timeout(Duration::from_secs(20), stage.session).await.unwrap().unwrap(), Exit::Done);
}

#[tokio::test]
async fn unknown_messages_of_newer_coordinators_are_ignored() {
    let stage = Stage::set(OutboxLimits::in_folder(std::env::temp_dir())).await;
    let stream = stage.stream().await;
    // Field 99, a message of that kind with a text in it.
    let mut unknown = vec![0x9a, 0x06, 3, 0x0a, 1, b'x'];
    stream.send(Ok(v1::CoordinatorMessage::decode(&*unknown).unwrap())).await.unwrap();
    let granted = v1::CoordinatorMessage { kind: Some(grant(&leases(1))) };
    let mut known = granted.encode_to_vec();
    known.append(&mut unknown);
    let known = v1::CoordinatorMessage::decode(&*known).unwrap();
    assert_eq!(known, granted);
    stream.send(Ok(known)).await.unwrap();
    stage.order().await;
}

#[tokio::test]
async fn heartbeats_precede_waiting_reports_and_name_their_leases() {
    let mut stage = Stage::set(OutboxLimits::in_folder(std::env::temp_dir())).await;
    let stream = stage.stream().await;
    say(&stream, grant(&leases(2))).await;
    let (first, second) = (stage.order().await, stage.order().await);
    drop(stream);
    // Without a stream one of them gets on, and ends.
    for step in 1..=500 {
        let points = (0..300).map(|point| MetricPoint {
            metric: TRAIN_LOSS,
            step: 300 * step + point,
            value: 1.0,
        });
        let (lease, points) = (second.lease, points.collect());
        stage
            .reports
            .send(Report::Progress { lease, step, points, log: String::new() })
            .await
            .unwrap();
    }
    let end =
        End::Failed { kind: v1::FailureKind::Error, message: "e".to_owned(), log: String::new() };
    stage.reports.send(Report::Ended { lease: second.lease, end }).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    let _stream = stage.stream().await;
    let progress = stage
        .hear(|kind| match kind {
            Kind::Heartbeat(beat) if beat.progress.iter().any(|progress| progress.waits) => {
                Some(beat.progress.clone())
            }
            Kind::Failed(_) => panic!("the end came before a heartbeat"),
            _ => None,
        })
        .await;
    let of = |lease: LeaseId, step, waits| v1::Progress { lease: Some(lease.into()), step, waits };
    assert!(
        progress.contains(&of(first.lease, 0, false))
            && progress.contains(&of(second.lease, 500, true)),
        "{progress:?}"
    );
}

#[tokio::test]
async fn a_finished_sweep_ends_workers_with_their_stream() {
    for (finished, leaves) in [(true, true), (false, false)] {
        let mut stage = Stage::set(OutboxLimits::in_folder(std::env::temp_dir())).await;
        let stream = stage.stream().await;
        say(&stream, grant(&leases(1))).await;
        let order = stage.order().await;
        stage.reports.send(Report::Ended { lease: order.lease, end: End::Released }).await.unwrap();
        stage.hear(|kind| matches!(kind, Kind::Released(_)).then_some(())).await;
        say(
            &stream,
            coordinator_message::Kind::Drain(v1::Drain { reason: "over".to_owned(), finished }),
        )
        .await;
        sleep(Duration::from_millis(300)).await;
        drop(stream);
        let ended = timeout(Duration::from_secs(if leaves { 20 } else { 2 }), stage.session).await;
        assert_eq!(ended.is_ok(), leaves, "{finished}");
    }
}

#[tokio::test]
async fn the_session_gives_up_after_its_patience() {
    let (orders, _queue) = std_mpsc::channel();
    let (_reports, report_queue) = mpsc::channel(1);
    let (_stop, stopping) = watch::channel(false);
    let patience = Duration::from_millis(300);
    let outbox = OutboxLimits::in_folder(std::env::temp_dir());
    let session = session("http://127.0.0.1:1", outbox, orders, report_queue, stopping);
    let start = Instant::now();
    let exit = Session { patience: Some(patience), ..session }.run().await;
    assert!(start.elapsed() >= patience);
    assert!(
        matches!(&exit, Exit::Unreachable(said) if said.contains("with 0 trials and 0 reports")),
        "{exit:?}"
    );
}
