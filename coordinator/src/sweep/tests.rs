//! What a sweep does about an actor that stands still.

use tokio::time::{sleep, timeout};

use super::*;

#[tokio::test]
async fn ticks_do_not_fill_the_channel_of_an_actor_that_waits() {
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
async fn workers_that_an_old_snapshot_shows_are_not_there() {
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
