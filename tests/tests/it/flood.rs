//! Fifty workers report as fast as they can: the coordinator's memory stays flat, and every point
//! arrives. While its disk is full, the workers are held up.
//!
//! `SWFN_FLOOD_POINTS` sets the number of points; `make flood` sends ten million.

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use swfn_proto::v1::{
    self, coordinator_client::CoordinatorClient, coordinator_message, worker_message::Kind,
};
use swfn_shared::{
    catalogue::SYNTHETIC,
    dataset::Dataset,
    ids::TRAINER_REVISION,
    metrics::{self, Outcome},
    wire::{PROTOCOL, outcome_values},
};
use swfn_tests::{
    disk::SmallDisk,
    permit,
    process::{Process, wait_until},
    sweep::Sweep,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const WORKERS: u64 = 50;
const TRIALS: u64 = 100;
const POINTS_PER_MESSAGE: u64 = 200;

/// The most growth of the coordinator after the flood has begun: buffers of fifty connections, and
/// freed memory that the allocator keeps.
const GROWTH_KIB: u64 = 96 << 10;

/// Returns the number of points of all trials together.
fn points() -> u64 {
    env::var("SWFN_FLOOD_POINTS").ok().and_then(|text| text.parse().ok()).unwrap_or(400_000)
}

fn sweep() -> Sweep {
    let grid = format!(
        "version = 1\nname = \"flood\"\n[data]\ndataset = \"synthetic\"\n[grid]\nseed = {{ count = {TRIALS} }}\n\
         subset_size = 40\narchitecture = \"net\"\nlambda = 0\n[classifier]\niterations = {}\n[run]\nlease_seconds = 60\n",
        points() / TRIALS
    );
    Sweep::with_grid(&grid)
}

/// Runs a worker that trains nothing and reports much, until the sweep ends.
async fn worker(address: String, number: u64, per_trial: u64, sent: Arc<AtomicU64>) {
    let mut client = CoordinatorClient::connect(address).await.expect("the coordinator listens");
    let (outgoing, stream) = mpsc::channel(16);
    let send = |sequence, kind| {
        let outgoing = outgoing.clone();
        async move { outgoing.send(v1::WorkerMessage { sequence, kind: Some(kind) }).await.is_ok() }
    };
    let device = v1::Device {
        name: "cpu".into(),
        model: "none".into(),
        threads: 1,
        cuda_version: String::new(),
    };
    let hello = v1::Hello {
        protocol: PROTOCOL,
        worker: format!("flood:{number}"),
        host: "flood".into(),
        device: Some(device),
        trainer_revision: TRAINER_REVISION,
        ..v1::Hello::default()
    };
    send(0, Kind::Hello(hello)).await;
    let mut incoming =
        client.session(ReceiverStream::new(stream)).await.expect("a stream").into_inner();
    let mut next = 1;
    send(0, Kind::Ask(v1::Ask { lanes: 1, ..v1::Ask::default() })).await;
    while let Ok(Some(message)) = incoming.message().await {
        match message.kind {
            Some(coordinator_message::Kind::Grant(grant)) => {
                for lease in grant.leases {
                    let lease = lease.id;
                    for first in (0..per_trial).step_by(POINTS_PER_MESSAGE as usize) {
                        let point = |step| v1::MetricPoint {
                            metric: metrics::TRAIN_LOSS.into(),
                            step,
                            value: 0.5,
                        };
                        let points =
                            (first..per_trial.min(first + POINTS_PER_MESSAGE)).map(point).collect();
                        send(
                            next,
                            Kind::Points(v1::Points { lease: lease.clone(), points, log: None }),
                        )
                        .await;
                        next += 1;
                        sent.fetch_add(POINTS_PER_MESSAGE, Ordering::Relaxed);
                    }
                    let outcome = Outcome {
                        final_test_accuracy: 0.5,
                        best_test_accuracy: 0.5,
                        ..Outcome::default()
                    };
                    let dataset_digest = Dataset::of(&SYNTHETIC).digest().to_string();
                    let succeeded =
                        v1::Succeeded { lease, outcome: outcome_values(&outcome), dataset_digest };
                    send(next, Kind::Succeeded(succeeded)).await;
                    next += 1;
                }
                send(0, Kind::Ask(v1::Ask { lanes: 1, ..v1::Ask::default() })).await;
            }
            Some(coordinator_message::Kind::Drain(_)) => {
                send(0, Kind::Goodbye(v1::Goodbye {})).await;
                return;
            }
            _ => {}
        }
    }
}

/// Starts all workers in a thread.
fn flood(address: &str, sent: &Arc<AtomicU64>) -> thread::JoinHandle<()> {
    let (address, sent) = (address.to_owned(), Arc::clone(sent));
    thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let per_trial = points() / TRIALS;
            let workers = (0..WORKERS)
                .map(|number| worker(address.clone(), number, per_trial, Arc::clone(&sent)));
            let mut tasks = tokio::task::JoinSet::from_iter(workers);
            while tasks.join_next().await.is_some() {}
        });
    })
}

/// Returns the resident memory of a process in KiB; `None` once it has ended.
fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
}

/// Watches the coordinator's memory until it ends. Returns the memory when a tenth of the points
/// were sent, and the highest after that.
fn watch(coordinator: &Process, sent: &Arc<AtomicU64>) -> thread::JoinHandle<(u64, u64)> {
    let (id, sent) = (coordinator.id(), Arc::clone(sent));
    thread::spawn(move || {
        let (mut begun, mut most) = (0, 0);
        while let Some(resident) = resident(id) {
            if sent.load(Ordering::Relaxed) < points() / 10 {
                begun = resident;
            }
            most = most.max(resident);
            thread::sleep(Duration::from_millis(20));
        }
        (begun, most)
    })
}

#[test]
fn memory_stays_flat_while_fifty_workers_report() {
    let _permit = permit::to_compute();
    let (sweep, sent) = (sweep(), Arc::new(AtomicU64::new(0)));
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let (flooding, memory) = (flood(&address, &sent), watch(&coordinator, &sent));
    coordinator.succeed();
    flooding.join().unwrap();
    let (begun, most) = memory.join().unwrap();
    println!("{} points; {begun} KiB when a tenth was sent, at most {most} KiB", points());
    let arrived =
        sweep.query("SELECT count(*) FROM point").and_then(|count| u64::try_from(count).ok());
    assert_eq!(arrived, Some(points()));
    assert!(begun > 0 && most < begun + GROWTH_KIB, "{begun} KiB grew to {most} KiB");
}

#[test]
fn a_full_disk_holds_the_flood_up() {
    let _permit = permit::to_compute();
    let (sweep, sent) = (sweep(), Arc::new(AtomicU64::new(0)));
    let Some(disk) = SmallDisk::mount(&sweep.run_dir(), 4 << 20) else { return };
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let flooding = flood(&address, &sent);
    let full = || coordinator.stderr().contains("waiting until it can be written").then_some(());
    wait_until("the disk to be full", full);
    let held_up = wait_until("the workers to be held up", || {
        let before = sent.load(Ordering::Relaxed);
        thread::sleep(Duration::from_secs(2));
        (sent.load(Ordering::Relaxed) == before).then_some(before)
    });
    let most = resident(coordinator.id()).expect("it waits");
    println!("held up after {held_up} of {} points, at {most} KiB", points());
    assert!(held_up < points(), "the flood was over before the disk was full");
    assert!(most < 400 << 10, "{most} KiB");
    disk.grow(1 << 30);
    coordinator.succeed();
    flooding.join().unwrap();
    let arrived =
        sweep.query("SELECT count(*) FROM point").and_then(|count| u64::try_from(count).ok());
    assert_eq!(arrived, Some(points()));
}
