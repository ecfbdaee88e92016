//! One device process: the session and the trainer, each on a thread of its own; the main thread waits for both.

use std::{
    io::Read as _,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc as std_mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use swfn_proto::v1::FailureKind;
use swfn_shared::{
    dataset::Dataset,
    ids::{LeaseId, WorkerId},
    metrics::MetricPoint,
};
use tch::Device;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};
use tonic::transport::Endpoint;
use tracing::{debug, error, info, info_span, warn};

use crate::{
    data::{self, LoadOptions},
    device,
    session::{Cancel, End, Exit, Hooks, Identity, Order, Report, Session},
    train::{
        checkpoint::Checkpoints,
        report::{Observer, Stop, TrainError},
        trainer::Trainer,
    },
    vae::disk::{DEFAULT_LIMIT, DiskCache},
};

/// Exit code that tells the supervisor not to start another process: it would end the same. (`EX_CONFIG` of sysexits.h)
pub(crate) const HOPELESS: u8 = 78;

/// Reports on their way from the trainer to the session; when it is full, the trainer waits.
const REPORTS: usize = 64;

/// Time for the trainer to notice that the session is over.
const TRAINER_PATIENCE: Duration = Duration::from_secs(8);

/// What a device process prints on standard output once the coordinator has welcomed it.
pub(crate) const WELCOMED: &str = "welcomed";

/// What a device process is told by its supervisor.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) endpoint: Endpoint,
    pub(crate) device: String,
    pub(crate) worker: WorkerId,
    pub(crate) predecessor: Option<WorkerId>,
    pub(crate) data: LoadOptions,
    /// Where trained VAEs are kept, if anywhere.
    pub(crate) vae_cache: Option<PathBuf>,
    /// Where checkpoints are kept, if anywhere, and the time between two of one trial.
    pub(crate) checkpoints: Option<(PathBuf, Duration)>,
}

/// Runs the process to its end.
pub(crate) fn run(setup: Setup) -> anyhow::Result<ExitCode> {
    die_with_supervisor()?;
    let opened = device::open(&setup.device).map_err(|problem| problem.to_string());
    // A GPU that is there and does not compute would fail one trial after the other.
    let device = match opened.and_then(|device| device::try_out(device).map(|()| device)) {
        Ok(device) => device,
        Err(problem) => {
            error!("{problem}");
            return Ok(ExitCode::from(HOPELESS));
        }
    };
    device::use_one_thread();
    let identity = Identity {
        worker: setup.worker,
        predecessor: setup.predecessor,
        host: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
        device: device::describe(device),
        libtorch: device::TORCH_VERSION.to_owned(),
    };
    info!(worker = %identity.worker, device = identity.device.name, model = identity.device.model, "worker starts");
    let (orders, order_queue) = std_mpsc::channel();
    let (reports, report_queue) = mpsc::channel(REPORTS);
    let (stop, stopping) = watch::channel(false);
    let checkpoints = setup.checkpoints.and_then(|(folder, every)| open_checkpoints(&folder, device, every));
    let saved = checkpoints.clone();
    let hooks = Hooks {
        welcomed: tell_supervisor,
        settled: Box::new(move |trial| {
            if let Some(saved) = &saved {
                saved.remove(trial);
            }
        }),
    };
    let session = Session::new(identity, setup.endpoint, orders, report_queue, stopping, hooks);
    let session = thread::Builder::new().name("session".to_owned()).spawn(move || session_thread(session, &stop))?;
    let (data, vaes) = (setup.data, setup.vae_cache);
    let trainer = thread::Builder::new().name("trainer".to_owned());
    let trainer = trainer.spawn(move || {
        let vaes = vaes.and_then(|folder| open_vae_cache(&folder, device));
        let trainer = Trainer::with_vae_cache(device, vaes).with_checkpoints(checkpoints);
        train(trainer, device, &data, &order_queue, &reports);
    })?;
    let exit = session.join().map_err(|_| anyhow::anyhow!("the session's thread panicked"))??;
    // The end of a process runs destructors of libtorch, which had better not be at work. Its channels are closed, so the trainer
    // stops at its next report; one that hangs is not waited for.
    let patience = Instant::now();
    while !trainer.is_finished() && patience.elapsed() < TRAINER_PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    match exit {
        Exit::Done => Ok(ExitCode::SUCCESS),
        Exit::Hopeless(reason) => {
            error!("{reason}");
            Ok(ExitCode::from(HOPELESS))
        }
        Exit::Broken(reason) => {
            error!("{reason}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A process that comes so far did not fail at its start.
fn tell_supervisor() {
    println!("{WELCOMED}");
}

/// The supervisor holds the other end of standard input. When that closes, nobody waits for this process any more, and nobody would
/// stop it: it ends at once. Its leases go to others.
fn die_with_supervisor() -> anyhow::Result<()> {
    let watch = || {
        let mut buffer = [0; 64];
        let mut input = std::io::stdin().lock();
        while input.read(&mut buffer).is_ok_and(|read| read > 0) {}
        // Not `exit`: it would run the destructors of a libtorch that is at work in another thread.
        nix::sys::signal::raise(Signal::SIGKILL).ok();
    };
    thread::Builder::new().name("stdin".to_owned()).spawn(watch).context("cannot start a thread")?;
    Ok(())
}

fn session_thread(session: Session, stop: &watch::Sender<bool>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let asked = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            exit = session.run() => Ok(exit),
            () = asked => Ok(Exit::Done),
        }
    })
}

/// Without that folder every VAE is trained: slower, and with the same results.
fn open_vae_cache(folder: &Path, device: Device) -> Option<DiskCache> {
    let warn = |error| warn!(folder = %folder.display(), "trained VAEs are not kept on disk: {error}");
    DiskCache::open(folder, device, DEFAULT_LIMIT).map_err(warn).ok()
}

/// Without that folder interrupted trials are trained from their start, to the same results.
fn open_checkpoints(folder: &Path, device: Device, every: Duration) -> Option<Checkpoints> {
    let warn = |error| warn!(folder = %folder.display(), "there are no checkpoints: {error}");
    Checkpoints::open(folder, device, every).map_err(warn).ok()
}

/// The trainer's loop: says that it is idle, takes an order, carries it out.
fn train(
    mut trainer: Trainer,
    device: Device,
    options: &LoadOptions,
    orders: &std_mpsc::Receiver<Order>,
    reports: &mpsc::Sender<Report>,
) {
    loop {
        if reports.blocking_send(Report::Idle { vaes: trainer.vaes() }).is_err() {
            return;
        }
        let Ok(order) = orders.recv() else { return };
        let span = info_span!("trial", lease = %order.lease, architecture = %order.spec.architecture, n = order.spec.subset_size,
                              seed = order.spec.seed, lambda = order.spec.lambda());
        for report in span.in_scope(|| carry_out(&mut trainer, options, &order, reports, device)) {
            let broken = matches!(report, Report::Broken { .. });
            if reports.blocking_send(report).is_err() || broken {
                return;
            }
        }
    }
}

fn carry_out(
    trainer: &mut Trainer,
    options: &LoadOptions,
    order: &Order,
    reports: &mpsc::Sender<Report>,
    device: Device,
) -> Vec<Report> {
    let lease = order.lease;
    if order.cancel.asked().is_some() {
        return vec![Report::Ended { lease, end: End::Released }];
    }
    if !trainer.has(order.spec.dataset)
        && let Err(error) = load(trainer, order.spec.dataset, options)
    {
        // No fault of the trial, and the next one would fare no better.
        return vec![Report::Broken { error, retry: false }];
    }
    let mut observer = Watch { lease, cancel: &order.cancel, reports };
    let failed = |kind, error: &TrainError| {
        error!("{error}");
        Report::Ended { lease, end: End::Failed { kind, message: error.to_string() } }
    };
    match trainer.run_for(&order.spec, order.artifacts, &mut observer) {
        Ok((outcome, artifacts)) => {
            let seconds = outcome.vae_seconds + outcome.classifier_seconds;
            info!(accuracy = outcome.final_test_accuracy, seconds, "trial done");
            let dataset_digest = data::Source::from(order.spec.dataset).digest();
            vec![Report::Ended { lease, end: End::Succeeded { outcome, dataset_digest, artifacts } }]
        }
        Err(TrainError::Cancelled) => vec![Report::Ended { lease, end: End::Released }],
        Err(error @ TrainError::Diverged { .. }) => vec![failed(FailureKind::Diverged, &error)],
        Err(error @ TrainError::Torch(_)) if device.is_cuda() => {
            // After most CUDA errors the context is lost, and every later call in this process fails with the same error.
            let reason = format!("starting anew after an error on the GPU: {error}");
            vec![failed(FailureKind::Error, &error), Report::Broken { error: reason, retry: true }]
        }
        Err(error @ (TrainError::Data(_) | TrainError::Checkpoint(_) | TrainError::Torch(_))) => {
            vec![failed(FailureKind::Error, &error)]
        }
    }
}

fn load(trainer: &mut Trainer, dataset: Dataset, options: &LoadOptions) -> Result<(), String> {
    let data = data::load(&data::Source::from(dataset), options).map_err(|error| error.to_string())?;
    trainer.load(dataset, data).map_err(|error| error.to_string())
}

/// Passes a trial's points on and asks it to stop when it is cancelled.
struct Watch<'o> {
    lease: LeaseId,
    cancel: &'o Cancel,
    reports: &'o mpsc::Sender<Report>,
}

impl Observer for Watch<'_> {
    fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
        if let Some(first) = points.first() {
            // `make bench` reads from these lines what the time went into.
            debug!(step, metric = first.metric, "reported");
        }
        let report = Report::Progress { lease: self.lease, step, points: points.to_vec() };
        // First of all: a trial that is given back may yet end, and then has all its points.
        let sent = self.reports.blocking_send(report);
        let nobody_listens = sent.is_err().then_some(Stop::GiveBack);
        self.cancel.asked().or(nobody_listens).map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::metrics::TRAIN_LOSS;

    use super::*;

    /// A trial that is given back may end before it can be saved: its points are then a part of its result.
    #[test]
    fn points_are_passed_on_before_a_trial_is_stopped() {
        let (reports, mut queue) = mpsc::channel(2);
        let lease = LeaseId { trial: "0123456789abcdef0123456789abcdef".parse().unwrap(), attempt: 1 };
        let cancel = Cancel::default();
        let point = MetricPoint { metric: TRAIN_LOSS, step: 1, value: 0.5 };
        let mut watch = Watch { lease, cancel: &cancel, reports: &reports };
        assert_eq!(watch.points(1, &[point]), ControlFlow::Continue(()));
        for stop in [Stop::GiveBack, Stop::Abandon] {
            cancel.ask(stop);
            queue.try_recv().unwrap();
            assert_eq!(watch.points(2, &[point]), ControlFlow::Break(stop));
        }
        assert!(matches!(queue.try_recv(), Ok(Report::Progress { step: 2, points, .. }) if points == [point]));
        drop(queue);
        let mut watch = Watch { cancel: &Cancel::default(), ..watch };
        assert_eq!(watch.points(3, &[]), ControlFlow::Break(Stop::GiveBack));
    }
}
