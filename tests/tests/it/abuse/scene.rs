//! A coordinator, its misbehaving workers, and the honest worker beside them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use swfn_proto::v1::{self, coordinator_message::Kind as Answer, worker_message::Kind};
use swfn_shared::{catalogue::SYNTHETIC, dataset::Dataset, metrics::Outcome, wire::outcome_values};
use swfn_tests::{
    fake_worker::{FakeWorker, hello},
    process::{Process, resident},
    sweep::Sweep,
};
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

/// The most memory of the coordinator in KiB, whatever it receives.
pub(super) const MEMORY: u64 = 200 << 10;

/// The longest that an honest trial may take on a busy machine. Before there were limits, it took
/// minutes.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Scene {
    pub(super) sweep: Sweep,
    pub(super) coordinator: Process,
    pub(super) address: String,
    /// Trials have to leave a file.
    files: bool,
}

pub(super) fn scene() -> Scene {
    of_trials(false)
}

/// Makes a scene in which trials have to leave a file.
pub(super) fn scene_with_files() -> Scene {
    of_trials(true)
}

fn of_trials(files: bool) -> Scene {
    let sweep = Sweep::with_grid(&format!(
        "version = 1\nname = \"abuse\"\n[data]\ndataset = \"synthetic\"\n[grid]\nseed = {{ count = 20_000 }}\nsubset_size = 40\n\
         architecture = \"net\"\nlambda = 0\n[classifier]\niterations = 1_000_000\n[run]\nlease_seconds = 60\n[artifacts]\n\
         weights = {files}\n",
    ));
    let coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    Scene { sweep, coordinator, address, files }
}

/// The address of the others, which the coordinator counts against.
pub(super) const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

pub(super) async fn connect(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(address.to_owned()).expect("a URL");
    endpoint.local_address(Some(ELSEWHERE.into())).connect().await.expect("the coordinator listens")
}

pub(super) async fn open(address: &str, hello: v1::Hello) -> FakeWorker {
    FakeWorker::open(connect(address).await, "none", hello).await.expect("a session")
}

pub(super) fn ask(lanes: u32) -> Kind {
    Kind::Ask(v1::Ask { lanes, ..v1::Ask::default() })
}

/// Waits for the next grant and returns its leases.
pub(super) async fn next_grant(fake: &mut FakeWorker) -> Vec<v1::LeaseId> {
    loop {
        if let Answer::Grant(grant) = fake.next().await.expect("the stream is open") {
            return grant.leases.into_iter().filter_map(|lease| lease.id).collect();
        }
    }
}

pub(super) fn failed(lease: v1::LeaseId, bytes: usize) -> Kind {
    Kind::Failed(v1::Failed {
        lease: Some(lease),
        message: "x".repeat(bytes),
        log: "y".repeat(bytes),
        ..v1::Failed::default()
    })
}

/// Makes a lease that was never granted.
pub(super) fn foreign(number: usize) -> v1::LeaseId {
    v1::LeaseId { trial: format!("{number:032x}"), attempt: 1 }
}

/// Makes a file of one byte for a trial that has to leave one.
fn weights(lease: v1::LeaseId) -> Kind {
    let (name, content) = ("weights.safetensors".to_owned(), vec![1]);
    Kind::Artifact(v1::ArtifactPart { lease: Some(lease), name, offset: 0, content, size: 1 })
}

pub(super) fn succeeded(lease: v1::LeaseId) -> Kind {
    let outcome =
        Outcome { final_test_accuracy: 0.5, best_test_accuracy: 0.5, ..Outcome::default() };
    Kind::Succeeded(v1::Succeeded {
        lease: Some(lease),
        outcome: outcome_values(&outcome),
        dataset_digest: Dataset::of(&SYNTHETIC).digest().to_string(),
    })
}

/// Works trial by trial until `over`. Returns the time of each, from its request to its
/// acknowledged report.
pub(super) async fn work_honestly(
    address: String,
    files: bool,
    over: Arc<AtomicBool>,
) -> Vec<Duration> {
    let channel = Endpoint::from_shared(address)
        .expect("a URL")
        .connect()
        .await
        .expect("the coordinator listens");
    let mut fake = FakeWorker::open(channel, "none", hello("honest")).await.expect("a session");
    let (mut waits, mut sequence) = (Vec::new(), 0);
    // One trial is trained in any case.
    while waits.is_empty() || !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        fake.send(0, ask(1)).await;
        let lease = next_grant(&mut fake).await.remove(0);
        if files {
            sequence += 1;
            fake.send(sequence, weights(lease.clone())).await;
        }
        sequence += 1;
        fake.send(sequence, succeeded(lease)).await;
        while !matches!(fake.next().await.unwrap(), Answer::Acknowledge(v1::Acknowledge { through }) if through == sequence)
        {
        }
        waits.push(began.elapsed());
    }
    waits
}

/// The honest worker's times, and the coordinator's highest memory meanwhile.
pub(super) struct Observation {
    pub(super) waits: Vec<Duration>,
    pub(super) memory: u64,
}

impl Observation {
    pub(super) fn print(&self, what: &str) {
        let most = self.waits.last().copied().unwrap_or_default();
        let p99 = self.waits[self.waits.len() * 99 / 100];
        println!(
            "{what}: {} trials, p99 {p99:.0?}, at most {most:.0?}; {} KiB",
            self.waits.len(),
            self.memory
        );
    }
}

/// Runs an honest worker for so many seconds, beside the others.
pub(super) async fn observe(scene: &Scene, seconds: u64) -> Observation {
    let over = Arc::new(AtomicBool::new(false));
    let worker = tokio::spawn(work_honestly(scene.address.clone(), scene.files, Arc::clone(&over)));
    let (began, mut memory) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        memory = memory.max(resident(&scene.coordinator).expect("it runs"));
        sleep(Duration::from_millis(20)).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut waits = tokio::time::timeout(Duration::from_secs(60), worker)
        .await
        .expect("its report is heard")
        .unwrap();
    waits.sort();
    Observation { waits, memory }
}

pub(super) fn assert_well(what: &str, observed: &Observation) {
    observed.print(what);
    let p99 = observed.waits[observed.waits.len() * 99 / 100];
    assert!(p99 < PATIENCE, "{what}: a trial took {p99:?}");
    assert!(observed.memory < MEMORY, "{what}: {} KiB", observed.memory);
}
