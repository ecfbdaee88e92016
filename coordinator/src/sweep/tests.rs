//! A sweep whose actor is blocked.

use tokio::time::{sleep, timeout};

use super::*;

#[tokio::test]
async fn ticks_do_not_fill_a_blocked_actors_channel() {
    let (requests, mut inbox) = mpsc::channel(8);
    let ticker = tokio::spawn(tick(requests));
    sleep(6 * TICK).await;
    assert_eq!(inbox.len(), 1);
    for _ in 0..3 {
        assert!(matches!(
            timeout(Duration::from_secs(20), inbox.recv()).await,
            Ok(Some(Request::Tick { .. }))
        ));
    }
    drop(inbox);
    timeout(Duration::from_secs(20), ticker).await.unwrap().unwrap();
}

#[tokio::test]
async fn workers_of_old_snapshots_do_not_count() {
    let snapshot = |workers| Snapshot { workers, ..Snapshot::default() };
    let (shown, snapshots) = watch::channel(snapshot(2));
    let mut answer = tokio::spawn(nobody_is_left(snapshots.clone()));
    assert!(
        timeout(Duration::from_secs(3), &mut answer).await.is_err(),
        "the actor waits for its disk"
    );
    for workers in [2, 1, 0] {
        shown.send_replace(snapshot(workers));
        sleep(Duration::from_millis(50)).await;
    }
    assert!(answer.await.unwrap());

    let mut answer = tokio::spawn(nobody_is_left(snapshots));
    let answered = loop {
        match timeout(Duration::from_millis(20), &mut answer).await {
            Ok(answered) => break answered.unwrap(),
            Err(_) => shown.send_replace(snapshot(1)),
        };
    };
    assert!(!answered, "new ones show that somebody is");
}
