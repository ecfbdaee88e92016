//! One device process: the session and the trainer, each on a thread of its own; the main thread waits for both.

use std::{
    io::BufRead as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc as std_mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use swfn_session::{
    Address, Exit, Hooks, Identity, OutboxLimits, Predecessor, Protocol, Session, StayLimits,
};
use swfn_shared::{faults, ids::WorkerId, output, signals, wire::STOP_LINE};
use tch::Device;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::{
    data::{self, LoadOptions},
    device,
    orders::Orders,
    train::trainer::Trainer,
    trial::checkpoint::Checkpoints,
    vae::disk::{DEFAULT_LIMIT, DiskCache},
};

/// Exit code that tells the supervisor not to start another process: it would end the same. (`EX_CONFIG` of sysexits.h)
pub(crate) const HOPELESS: u8 = 78;

/// Reports on their way from the trainer to the session; when it is full, the trainer waits.
const REPORTS: usize = 64;

/// Time for the trainer to notice that the session is over.
const TRAINER_PATIENCE: Duration = Duration::from_secs(18);

/// Exit code when there was no coordinator for too long. (`EX_UNAVAILABLE` of sysexits.h)
pub(crate) const UNREACHABLE: u8 = 69;

/// Exit code when its time was up, and there may be more to do. (`EX_TEMPFAIL` of sysexits.h)
pub(crate) const OUT_OF_TIME: u8 = 75;

/// What a device process prints on standard output once the coordinator has welcomed it.
pub(crate) const WELCOMED: &str = "welcomed";

/// What it prints there, and the trial, when it gets one to train: how often that may end the process is the coordinator's to count.
pub(crate) const LEASED: &str = "leased";

/// What it prints there, and the trial, when that has ended.
pub(crate) const LET_GO: &str = "let-go";

/// What it prints there before it ends itself without order, because its trainer hangs.
pub(crate) const GIVING_UP: &str = "giving-up";

/// What it prints there when it was asked to stop: nobody is to be started in its place, however it ends.
pub(crate) const STOPPING: &str = "stopping";

/// What a device process is told by its supervisor.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) address: Address,
    pub(crate) device: String,
    pub(crate) worker: WorkerId,
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) data: LoadOptions,
    /// Where trained VAEs are kept, if anywhere.
    pub(crate) vae_cache: Option<PathBuf>,
    /// Where checkpoints are kept, if anywhere, and the time between two of one trial.
    pub(crate) checkpoints: Option<(PathBuf, Duration)>,
    /// Trials to train side by side, if not as many as is found best.
    pub(crate) lanes: Option<usize>,
    /// How long a coordinator is waited for.
    pub(crate) patience: Option<Duration>,
    /// When it leaves by itself.
    pub(crate) limits: StayLimits,
}

/// Runs the process to its end.
pub(crate) fn run(setup: Setup) -> anyhow::Result<ExitCode> {
    let (stop, stopping) = watch::channel(false);
    obey_supervisor(stop.clone())?;
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
        software: env!("SWFN_VERSION").to_owned(),
        libtorch: crate::libtorch::TORCH_VERSION.to_owned(),
    };
    info!(worker = %identity.worker, device = identity.device.name, model = identity.device.model, "worker starts");
    let (orders, order_queue) = std_mpsc::channel();
    let (reports, report_queue) = mpsc::channel(REPORTS);
    let checkpoints =
        setup.checkpoints.and_then(|(folder, every)| open_checkpoints(&folder, device, every));
    let saved = checkpoints.clone();
    let hooks = Hooks {
        welcomed: || tell_supervisor(WELCOMED),
        leased: |trial| tell_supervisor(&format!("{LEASED} {trial}")),
        let_go: |trial| tell_supervisor(&format!("{LET_GO} {trial}")),
        settled: Box::new(move |trial| {
            if let Some(saved) = &saved {
                saved.remove(trial);
            }
        }),
    };
    let outbox =
        data::cache_dir(&setup.data).unwrap_or_else(|_| std::env::temp_dir()).join("outbox");
    let outbox = OutboxLimits::in_folder(outbox);
    let protocol = Protocol::new(outbox, setup.limits, Instant::now());
    let session =
        Session::new(identity, setup.address, protocol, orders, report_queue, stopping, hooks);
    let session = session.with_patience(setup.patience);
    let session = thread::Builder::new()
        .name("session".to_owned())
        .spawn(move || session_thread(session, &stop))?;
    let (data, vaes, lanes) = (setup.data, setup.vae_cache, setup.lanes);
    let trainer = thread::Builder::new().name("trainer".to_owned());
    let width_folder = data::cache_dir(&data).ok().map(|folder| folder.join("lanes"));
    let trainer = trainer.spawn(move || {
        let vaes = vaes.and_then(|folder| open_vae_cache(&folder, device));
        let loader = move |dataset| data::load(&dataset, &data).map_err(|error| error.to_string());
        let mut trainer = Trainer::new(device)
            .with_vae_cache(vaes)
            .with_checkpoints(checkpoints)
            .with_width_folder(width_folder)
            .with_lanes(lanes)
            .with_loader(Box::new(loader));
        trainer.run_all(&mut Orders::new(order_queue, reports));
    })?;
    let exit = session.join().map_err(|_| anyhow::anyhow!("the session's thread panicked"))??;
    if exit == Exit::Interrupted {
        warn!("asked to stop twice: ending at once");
        // Not `exit`, for the same reason as below.
        nix::sys::signal::raise(Signal::SIGKILL).ok();
    }
    // The end of a process runs destructors of libtorch, which had better not be at work. Its channels are closed, so the trainer
    // stops at its next report; one that hangs is not waited for.
    let patience = Instant::now();
    while !trainer.is_finished() && patience.elapsed() < TRAINER_PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    if !trainer.is_finished() {
        match exit {
            Exit::Done | Exit::OutOfTime | Exit::Interrupted => {}
            Exit::Hopeless(reason) | Exit::Broken(reason) | Exit::Unreachable(reason) => {
                error!("{reason}")
            }
        }
        error!("the trainer did not stop within {TRAINER_PATIENCE:?}: ending without it");
        tell_supervisor(GIVING_UP);
        // Whatever it hangs in may hold locks that an orderly end waits for.
        nix::sys::signal::raise(Signal::SIGKILL).ok();
        return Ok(ExitCode::FAILURE);
    }
    match exit {
        Exit::Done => Ok(ExitCode::SUCCESS),
        Exit::OutOfTime => Ok(ExitCode::from(OUT_OF_TIME)),
        Exit::Hopeless(reason) => {
            error!("{reason}");
            Ok(ExitCode::from(HOPELESS))
        }
        Exit::Broken(reason) => {
            error!("{reason}");
            Ok(ExitCode::FAILURE)
        }
        Exit::Unreachable(reason) => {
            error!("{reason}");
            Ok(ExitCode::from(UNREACHABLE))
        }
        // It has not come so far.
        Exit::Interrupted => Ok(ExitCode::FAILURE),
    }
}

/// One line of standard output.
fn tell_supervisor(line: &str) {
    // A supervisor that is gone hears nothing; that is noticed elsewhere.
    output::print(&format!("{line}\n")).ok();
}

/// Calls `stop` each time that standard input says so; returns when it closes.
pub(crate) fn hear_stops(stop: impl Fn()) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if line == STOP_LINE {
            stop();
        }
    }
}

/// The supervisor holds the other end of standard input, and asks through it to stop: no signal, since whoever signals all processes at
/// once (Slurm, systemd) has sent one already, and two mean haste. When it closes, nobody waits for this process any more, and nobody
/// would stop it: it ends at once. Its leases go to others.
fn obey_supervisor(stop: watch::Sender<bool>) -> anyhow::Result<()> {
    let obey = move || {
        hear_stops(|| {
            stop.send_replace(true);
        });
        // Not `exit`: it would run the destructors of a libtorch that is at work in another thread.
        nix::sys::signal::raise(Signal::SIGKILL).ok();
    };
    thread::Builder::new().name("stdin".to_owned()).spawn(obey).context("cannot start a thread")?;
    Ok(())
}

fn session_thread(session: Session, stop: &watch::Sender<bool>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stops = signals::stops(true)?;
        let asked_twice = async {
            stops.recv().await;
            tell_supervisor(STOPPING);
            stop.send_replace(true);
            stops.recv().await;
            if faults::bug("second-signals-are-ignored") {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            exit = session.run() => Ok(exit),
            () = asked_twice => Ok(Exit::Interrupted),
        }
    })
}

/// Without that folder every VAE is trained: slower, and with the same results.
fn open_vae_cache(folder: &Path, device: Device) -> Option<DiskCache> {
    let warn =
        |error| warn!(folder = %folder.display(), "trained VAEs are not kept on disk: {error}");
    DiskCache::open(folder, device, DEFAULT_LIMIT).map_err(warn).ok()
}

/// Without that folder interrupted trials are trained from their start, to the same results.
fn open_checkpoints(folder: &Path, device: Device, every: Duration) -> Option<Checkpoints> {
    let warn = |error| warn!(folder = %folder.display(), "there are no checkpoints: {error}");
    Checkpoints::open(folder, device, every).map_err(warn).ok()
}
