//! One device process: the session and the trainer, each on a thread of its own, while the main
//! thread waits for both.

use std::{
    io::{self, BufRead as _},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc as std_mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use swfn_proto::v1;
use swfn_session::{Exit, Hooks, OutboxLimits, Protocol, Session};
use swfn_shared::{
    faults,
    ids::TRAINER_REVISION,
    output, signals,
    wire::{PROTOCOL, STOP_LINE},
};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::{
    arguments::SharedArguments,
    data, device,
    libtorch::TORCH_VERSION,
    session_jobs::SessionJobs,
    setup::Setup,
    train::trainer::{Options, Trainer},
    trial::checkpoint::Checkpoints,
    vae::disk::{DEFAULT_LIMIT, DiskCache},
};

/// Exit code after which no other process is started: it would end the same. (`EX_CONFIG` of
/// sysexits.h)
pub(crate) const HOPELESS: u8 = 78;

/// Exit code when there was no coordinator for too long. (`EX_UNAVAILABLE` of sysexits.h)
pub(crate) const UNREACHABLE: u8 = 69;

/// Exit code when its time was up, and there may be more to do. (`EX_TEMPFAIL` of sysexits.h)
pub(crate) const OUT_OF_TIME: u8 = 75;

/// Reports on their way from the trainer to the session; beyond it, the trainer waits.
const REPORTS: usize = 64;

/// Time for the trainer to notice that the session is over.
const TRAINER_PATIENCE: Duration = Duration::from_secs(18);

// A device process prints these lines for its supervisor on standard output.

/// The coordinator has welcomed the process.
pub(crate) const WELCOMED: &str = "welcomed";

/// A trial begins, whose id follows. The coordinator counts how often a trial ends its process.
pub(crate) const LEASED: &str = "leased";

/// A trial has ended, whose id follows.
pub(crate) const LET_GO: &str = "let-go";

/// The process kills itself, because its trainer hangs.
pub(crate) const GIVING_UP: &str = "giving-up";

/// The process was asked to stop, so no other takes its place, however it ends.
pub(crate) const STOPPING: &str = "stopping";

/// Runs the process to its end.
pub(crate) fn run(setup: Setup<SharedArguments>) -> anyhow::Result<ExitCode> {
    let Setup { arguments, device, worker, predecessor } = setup;
    let address = arguments.access.address()?;
    let (stop, stopping) = watch::channel(false);
    let asked = stop.clone();
    let ask = move || {
        asked.send_replace(true);
    };
    // The supervisor sends lines, since Slurm and systemd signal all processes themselves, and a
    // second signal would end this one at once. When the supervisor is gone, the process ends; its
    // leases go to others.
    read_stdin(ask, kill_self).context("cannot start a thread")?;
    // A GPU that is there and does not compute would fail one trial after the other.
    let opened = device::open(&device).and_then(|device| device::try_out(device).map(|()| device));
    let device = match opened {
        Ok(device) => device,
        Err(problem) => {
            error!("{problem}");
            return Ok(ExitCode::from(HOPELESS));
        }
    };
    device::use_one_thread();
    let info = device::describe(device);
    info!(%worker, device = info.name, model = info.model, "worker starts");
    let hello = v1::Hello {
        protocol: PROTOCOL,
        worker: worker.to_string(),
        predecessor: predecessor.as_ref().map(|dead| dead.worker.to_string()),
        predecessor_innocent: predecessor.as_ref().is_some_and(|dead| dead.innocent),
        predecessor_end: predecessor.as_ref().map(|dead| dead.end.clone()).unwrap_or_default(),
        predecessor_log: predecessor.map(|dead| dead.log).unwrap_or_default(),
        host: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
        device: Some(info),
        software_version: env!("SWFN_VERSION").to_owned(),
        libtorch_version: TORCH_VERSION.to_owned(),
        held: Vec::new(),
        trainer_revision: TRAINER_REVISION,
    };
    let (patience, limits) = (arguments.patience(), arguments.stay_limits());
    let data = arguments.data;
    let checkpoints = arguments.folders.checkpoints(&data);
    let checkpoints = checkpoints.and_then(|(folder, every)| {
        or_warn(Checkpoints::open(&folder, device, every), "checkpoints")
    });
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
    let cache = data::cache_dir(&data).ok();
    let outbox = cache.clone().unwrap_or_else(std::env::temp_dir).join("outbox");
    let protocol = Protocol::new(OutboxLimits::in_folder(outbox), limits, Instant::now());
    let (orders, order_queue) = std_mpsc::channel();
    let (reports, report_queue) = mpsc::channel(REPORTS);
    let session = Session {
        hello,
        address,
        protocol,
        orders,
        reports: report_queue,
        stop: stopping,
        patience,
        hooks,
    };
    let session = thread::Builder::new()
        .name("session".to_owned())
        .spawn(move || run_session(session, &stop))?;
    let vaes = arguments.folders.vae_cache(&data);
    let trainer = thread::Builder::new().name("trainer".to_owned()).spawn(move || {
        let open = |folder: PathBuf| DiskCache::open(&folder, device, DEFAULT_LIMIT);
        let vaes = vaes.and_then(|folder| or_warn(open(folder), "trained VAEs"));
        let loader = move |dataset| data::load(&dataset, &data).map_err(|error| error.to_string());
        let options = Options {
            vaes,
            checkpoints,
            lanes: arguments.lanes.map(usize::from),
            width_folder: cache.map(|folder| folder.join("lanes")),
            loader: Some(Box::new(loader)),
        };
        Trainer::new(device, options).run_all(&mut SessionJobs::new(order_queue, reports));
    })?;
    let exit = session.join().map_err(|_| anyhow::anyhow!("the session's thread panicked"))??;
    let (code, problem) = match exit {
        Exit::Done => (0, None),
        Exit::OutOfTime => (OUT_OF_TIME, None),
        Exit::Hopeless(problem) => (HOPELESS, Some(problem)),
        Exit::Broken(problem) => (1, Some(problem)),
        Exit::Unreachable(problem) => (UNREACHABLE, Some(problem)),
    };
    if let Some(problem) = problem {
        error!("{problem}");
    }
    // The end of a process runs libtorch's destructors, which must not run while it computes. The
    // trainer's channels are closed, so it stops at its next report.
    let waiting = Instant::now();
    while !trainer.is_finished() && waiting.elapsed() < TRAINER_PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    if !trainer.is_finished() {
        error!("the trainer did not stop within {TRAINER_PATIENCE:?}: ending without it");
        tell_supervisor(GIVING_UP);
        kill_self();
    }
    Ok(ExitCode::from(code))
}

/// Ends the process at once. `exit` would run the destructors of a libtorch that computes in
/// another thread, and might wait for locks of a trainer that hangs.
fn kill_self() {
    nix::sys::signal::raise(Signal::SIGKILL).ok();
}

/// Prints a line for the supervisor. If that is gone, another thread notices it.
fn tell_supervisor(line: &str) {
    output::print(&format!("{line}\n")).ok();
}

/// Starts a thread that calls `stop` at each stop line on standard input, and `closed` when that
/// closes. It is no thread of tokio's, which would keep a runtime from ending.
pub(crate) fn read_stdin(
    stop: impl Fn() + Send + 'static,
    closed: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let read = move || {
        let lines = io::stdin().lock().lines().map_while(Result::ok);
        lines.filter(|line| line == STOP_LINE).for_each(|_| stop());
        closed();
    };
    thread::Builder::new().name("stdin".to_owned()).spawn(read).map(drop)
}

fn run_session(session: Session, stop: &watch::Sender<bool>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stops = signals::stops(true)?;
        let stopped_twice = async {
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
            () = stopped_twice => {
                warn!("asked to stop twice: ending at once");
                kill_self();
                Ok(Exit::Done)
            }
        }
    })
}

/// Without its folder a process trains VAEs and interrupted trials from their start, to the same
/// results.
fn or_warn<T>(opened: io::Result<T>, kept: &str) -> Option<T> {
    opened.map_err(|error| warn!("{kept} are not kept on disk: {error}")).ok()
}
