//! Limits of sizes, ages and numbers of connections.

use swfn_proto::v1::{self, coordinator_client::CoordinatorClient, worker_message::Kind};
use swfn_shared::wire::MAX_REPORT_BYTES;
use swfn_tests::{
    fake_worker::{FakeWorker, hello},
    probe::serves,
    process::wait_until,
    sweep::{Sweep, from_here},
};
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};

use super::cluster::{ALL, Cluster, axes};

async fn connect(address: &str) -> Channel {
    Endpoint::from_shared(address.to_owned())
        .expect("a URL")
        .connect()
        .await
        .expect("the coordinator listens")
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_messages_are_refused_without_harm() {
    let cluster = Cluster::new(Sweep::new(&axes(1), 60));
    let mut coordinator =
        cluster.coordinator("coordinator", "--listen 127.0.0.1:0 --token-file @pki/token");
    let (address, token) = (cluster.sweep.address(&coordinator), cluster.token());

    let mut worker = FakeWorker::open(connect(&address).await, &token, hello("eve")).await.unwrap();
    let error = "x".repeat(MAX_REPORT_BYTES + 1);
    worker.send(1, Kind::Failed(v1::Failed { message: error, ..v1::Failed::default() })).await;
    let ended = worker.next().await.unwrap_err();
    assert_eq!(ended.code(), Code::InvalidArgument, "{ended}");
    assert!(ended.message().contains("message length too large"), "{ended}");
    let mut worker = FakeWorker::open(connect(&address).await, &token, hello("eve")).await.unwrap();
    let error = "x".repeat(MAX_REPORT_BYTES / 2);
    worker.send(1, Kind::Failed(v1::Failed { message: error, ..v1::Failed::default() })).await;
    let ended = worker.next().await.unwrap_err();
    assert!(ended.message().contains("`lease` is missing"), "half of that is read: {ended}");

    for (bytes, passes) in [(1 << 10, true), (64 << 10, false)] {
        let mut request = Request::new(tokio_stream::once(v1::WorkerMessage::default()));
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request.metadata_mut().insert("x-padding", "x".repeat(bytes).parse().unwrap());
        let status =
            CoordinatorClient::new(connect(&address).await).session(request).await.unwrap_err();
        let heard = status.message().contains("a stream begins with `hello`");
        assert_eq!(heard, passes, "{bytes} bytes of headers: {status}");
    }
    cluster.worker("worker", &address, "--token-file @pki/token").succeed();
    coordinator.succeed();
}

#[test]
fn the_health_port_serves_only_health_checks() {
    let cluster = Cluster::new(Sweep::new(&axes(1), 60));
    let coordinator = cluster
        .coordinator("coordinator", &format!("--listen 127.0.0.1:0 --health 0.0.0.0:0 {ALL}"));
    let address = from_here(&cluster.sweep.health(&coordinator));
    wait_until("readiness", || (serves(&address, "ready") == Ok(true)).then_some(()));
    assert_eq!((serves(&address, ""), serves(&address, "other")), (Ok(true), Err(Code::NotFound)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(async {
        FakeWorker::open(
            connect(&format!("http://{address}")).await,
            &cluster.token(),
            hello("eve"),
        )
        .await
    });
    assert_eq!(refused.expect_err("there is no such service").code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excess_connection_is_refused_until_one_ends() {
    let cluster = Cluster::new(Sweep::new(&axes(1), 60));
    let options = "--listen 127.0.0.1:0 --token-file @pki/token --max-connections 1";
    let mut coordinator = cluster.coordinator("coordinator", options);
    let (address, token) = (cluster.sweep.address(&coordinator), cluster.token());
    let first = FakeWorker::open(connect(&address).await, &token, hello("eve")).await.unwrap();
    let refused = FakeWorker::open(connect(&address).await, &token, hello("ivy"))
        .await
        .expect_err("one too many");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("hint: raise --max-connections"), "{refused}");
    let mut worker = cluster.worker("worker", &address, "--token-file @pki/token");
    wait_until("the worker's complaint", || {
        worker.stderr().contains("too many connections").then_some(())
    });
    drop(first);
    worker.succeed();
    coordinator.succeed();
}

#[test]
fn an_old_connection_is_replaced_without_loss() {
    let trials = 3;
    let cluster =
        Cluster::new(Sweep::with_leases(120, &axes(trials), 60).evaluated_every(20).slowed(900));
    let mut coordinator =
        cluster.coordinator("coordinator", "--listen 127.0.0.1:0 --max-connection-age 1");
    let mut worker = cluster.worker("worker", &cluster.sweep.address(&coordinator), "");
    coordinator.succeed();
    worker.succeed();
    let connected = worker.stderr().matches("connected sweep=").count();
    assert!(connected >= 2, "no connection was ended: {}", worker.stderr());
    let journal = cluster.sweep.journal();
    let count = |kind: &str| journal.iter().filter(|line| line.kind == kind).count();
    let (leased, released, succeeded) = (count("leased"), count("released"), count("succeeded"));
    assert_eq!(
        journal.len(),
        leased + released + succeeded,
        "nothing is lost and nothing fails: {journal:?}"
    );
    assert_eq!(succeeded, trials as usize, "each trial succeeds once: {journal:?}");
    // A grant that was sent as its connection ended is withdrawn and granted again.
    assert!(leased == succeeded + released && released < connected, "{journal:?}");
    // Each trial has three evaluations, none missing and none twice.
    let curves = cluster.sweep.csv("curves.csv");
    let evaluations = curves.iter().filter(|point| point["metric"] == "test/accuracy").count();
    assert_eq!(evaluations, 3 * trials as usize);
}
