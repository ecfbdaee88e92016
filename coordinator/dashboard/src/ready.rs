//! Whether the engine is at work.

use std::time::Duration;

use swfn_shared::snapshot::Snapshot;
use tokio::{sync::watch, time::timeout};

/// A working engine publishes its state at every tick. It is gone, or stuck, after this silence.
const READY: Duration = Duration::from_secs(2);

pub async fn is_ready(snapshots: &mut watch::Receiver<Snapshot>) -> bool {
    snapshots.mark_unchanged();
    matches!(timeout(READY, snapshots.changed()).await, Ok(Ok(())))
}
