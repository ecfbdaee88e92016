//! A worker's id and its leases belong to its certificate.

use swfn_proto::v1::{self, coordinator_message::Kind as Answer, worker_message::Kind};
use swfn_shared::{metrics::Outcome, wire::outcome_values};
use swfn_tests::{
    fake_worker::{FakeWorker, hello},
    images::few_digest,
    sweep::Sweep,
};
use tonic::Code;

use super::cluster::{ALL, ANN, Cluster, axes};

fn revoked(answer: &Answer, lease: &v1::LeaseId) -> String {
    match answer {
        Answer::Revoke(revoke) if revoke.lease.as_ref() == Some(lease) => revoke.reason.clone(),
        other => panic!("{other:?} is no revocation of {lease:?}"),
    }
}

fn confirmed(answer: &Answer) -> &[v1::LeaseId] {
    match answer {
        Answer::Confirm(confirm) => &confirm.leases,
        other => panic!("{other:?} is no confirmation"),
    }
}

fn outcome(lease: &v1::LeaseId) -> Kind {
    Kind::Succeeded(v1::Succeeded {
        lease: Some(lease.clone()),
        outcome: outcome_values(&Outcome {
            final_test_accuracy: 1.0,
            best_test_accuracy: 1.0,
            ..Outcome::default()
        }),
        dataset_digest: few_digest().to_owned(),
    })
}

fn points(lease: &v1::LeaseId, step: u64) -> Kind {
    let point = v1::MetricPoint { metric: "train/loss".into(), step, value: 666.0 };
    Kind::Points(v1::Points { lease: Some(lease.clone()), points: vec![point], log: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_takes_neither_id_nor_leases() {
    // Leases are long, so that none expires while this machine is busy with other tests.
    let cluster = Cluster::new(Sweep::with_leases(600, &axes(2), 60));
    let mut coordinator =
        cluster.coordinator("coordinator", &format!("--listen 127.0.0.1:0 {ALL}"));
    let (address, token) = (cluster.sweep.address(&coordinator), cluster.token());
    let mut ann = FakeWorker::open(cluster.connect(&address, "ann").await, &token, hello("ann:1"))
        .await
        .unwrap();
    ann.send(0, Kind::Ask(v1::Ask { lanes: 1, ..v1::Ask::default() })).await;
    let Answer::Grant(grant) = ann.next().await.unwrap() else { panic!("no grant") };
    let lease = grant.leases[0].id.clone().unwrap();

    // Bob uses Ann's name. The server welcomes him, and the engine refuses him right after.
    let bob_there = cluster.connect(&address, "bob").await;
    let mut thief = FakeWorker::open(bob_there.clone(), &token, hello("ann:1")).await.unwrap();
    let refused = thief.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(
        refused.message().contains("`ann:1` belongs to the holder of another certificate"),
        "{refused}"
    );

    // Bob poses as Ann's successor, and as the holder of her lease.
    let successor = v1::Hello {
        predecessor: Some("ann:1".into()),
        held: vec![lease.clone()],
        ..hello("bob:1")
    };
    let mut bob = FakeWorker::open(bob_there, &token, successor).await.unwrap();
    assert!(revoked(&bob.next().await.unwrap(), &lease).contains("it belongs to worker `ann:1`"));
    assert_eq!(confirmed(&bob.next().await.unwrap()), []);
    // Bob reports on a stream in progress.
    for (sequence, kind) in [
        points(&lease, 1),
        outcome(&lease),
        Kind::Released(v1::Released { lease: Some(lease.clone()) }),
    ]
    .into_iter()
    .enumerate()
    {
        bob.send(sequence as u64 + 1, kind).await;
        assert!(
            revoked(&bob.next().await.unwrap(), &lease).contains("it belongs to worker `ann:1`")
        );
        let Answer::Acknowledge(_) = bob.next().await.unwrap() else {
            panic!("heard, with no effect")
        };
    }

    // Ann has noticed nothing, and may use another connection.
    ann.send(1, points(&lease, 5)).await;
    assert!(matches!(ann.next().await.unwrap(), Answer::Acknowledge(_)));
    let again = v1::Hello { held: vec![lease.clone()], ..hello("ann:1") };
    let mut ann =
        FakeWorker::open(cluster.connect(&address, "ann").await, &token, again).await.unwrap();
    assert_eq!(confirmed(&ann.next().await.unwrap()), std::slice::from_ref(&lease));
    ann.send(2, outcome(&lease)).await;
    assert!(matches!(
        ann.next().await.unwrap(),
        Answer::Acknowledge(v1::Acknowledge { through: 2 })
    ));
    // Bob reports after her trial.
    bob.send(4, points(&lease, 9)).await;
    assert!(revoked(&bob.next().await.unwrap(), &lease).contains("the trial has its result"));

    let journal: Vec<_> =
        cluster.sweep.journal().into_iter().map(|line| (line.kind, line.attempt)).collect();
    assert_eq!(journal, [("leased".to_owned(), 1), ("succeeded".to_owned(), 1)]);
    assert_eq!(cluster.sweep.query("SELECT count(*) FROM point"), Some(1), "hers");
    assert_eq!(cluster.sweep.query("SELECT count(*) FROM result WHERE worker = 'ann:1'"), Some(1));
    let log = coordinator.stderr();
    assert!(
        log.contains("the id is another certificate's") && log.contains("ignored a predecessor"),
        "{log}"
    );

    drop((ann, bob, thief));
    cluster.worker("worker", &address, ANN).succeed();
    coordinator.succeed();
}
