//! One process per device: started, watched, started again.
//!
//! Torch's random state is global, and a failed CUDA context or an exhausted memory ends one
//! process only. A new process names the dead one, so that the coordinator need not wait until its
//! leases expire.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
    path::PathBuf,
    pin::pin,
    process::{ExitCode, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use swfn_session::Predecessor;
use swfn_shared::{
    faults,
    ids::WorkerId,
    output, problem,
    problem::Problem,
    signals, telemetry,
    text::Tail,
    threads,
    wire::{MAX_LOG_BYTES, STOP_LINE},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStderr, ChildStdin, Command},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

pub(crate) use self::machine::machine;
use self::{
    notes::{Notes, read_notes},
    shortage::Shared,
};
use crate::{
    cgroup::Memory,
    process::{HOPELESS, OUT_OF_TIME, UNREACHABLE, read_stdin},
    setup::Setup,
};

/// Time in which a process returns its leases before it is killed.
const GRACE: Duration = Duration::from_secs(20);

/// Time without a coordinator after which a warning tells how to start one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Useless processes in a row after which a device has failed.
const MAX_CRASHES: u32 = 5;

/// Exit code of a process that was asked to stop twice.
pub(crate) const INTERRUPTED: u8 = 130;

/// Exit codes of devices, from good to bad. A supervisor ends with the worst.
const EXIT_CODES: [u8; 5] = [0, OUT_OF_TIME, UNREACHABLE, INTERRUPTED, FAILED];

/// Exit code when a device has failed for good.
const FAILED: u8 = 1;

/// The settings of a supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    /// Devices, one process each.
    pub(crate) devices: Vec<String>,
    /// The arguments that all processes share.
    pub(crate) arguments: Value,
    /// The run of the coordinator that started this supervisor. Ids of workers begin with it, and
    /// the supervisor ends when its standard input closes.
    pub(crate) local_to: Option<String>,
    /// Address of the coordinator.
    pub(crate) coordinator: String,
}

impl Supervisor {
    /// Runs until all processes have ended for good.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        threads::ensure(2)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.supervise())
    }

    async fn supervise(self) -> anyhow::Result<ExitCode> {
        let program = std::env::current_exe().context("this program's own path is unknown")?;
        let (stop, stopping) = watch::channel(StopRequest::None);
        let any_welcomed = Arc::new(AtomicBool::new(false));
        let mut slots = JoinSet::new();
        let slot = Slot {
            program,
            device: String::new(),
            index: 0,
            prefix: self.local_to.clone().unwrap_or_else(machine),
            arguments: self.arguments,
            stop: stopping,
            shared: Arc::new(Shared::new(Memory::here(), self.devices.len())),
            leaving: false,
            any_welcomed: Arc::clone(&any_welcomed),
        };
        for (index, device) in self.devices.into_iter().enumerate() {
            slots.spawn(Slot { device, index, ..slot.clone() }.keep_running());
        }
        let mut coordinator = self.local_to.is_some().then(read_coordinator).transpose()?;
        let mut stops = signals::stops(true)?;
        let mut signalled = false;
        let mut codes = BTreeSet::new();
        let mut patience = pin!(sleep(PATIENCE));
        // A local coordinator is there.
        let mut waits = self.local_to.is_none();
        loop {
            tokio::select! {
                () = &mut patience, if waits => {
                    waits = false;
                    if !any_welcomed.load(Relaxed) {
                        warn!("{}", missing_coordinator(&self.coordinator));
                    }
                }
                ended = slots.join_next() => match ended {
                    None => {
                        let worst = EXIT_CODES.into_iter().rfind(|code| codes.contains(code));
                        return Ok(worst.unwrap_or(0).into());
                    }
                    Some(Ok(Ok(code))) => drop(codes.insert(code)),
                    Some(Ok(Err(problem))) => {
                        error!("{problem:#}");
                        codes.insert(FAILED);
                    }
                    Some(Err(panic)) => bail!("a supervising task ended: {panic}"),
                },
                Some(_) = stops.recv() => StopRequest::send_signal(&stop, &mut signalled),
                asked = async { coordinator.as_mut()?.recv().await }, if coordinator.is_some() => {
                    if asked.is_none() {
                        // Dropping the children kills them.
                        error!("the coordinator that started this worker is gone");
                        return Ok(ExitCode::FAILURE);
                    }
                    StopRequest::InOrder.send(&stop);
                }
            }
        }
    }
}

fn missing_coordinator(address: &str) -> Problem {
    problem!(
        "no coordinator has answered at {address} for {} s; this worker goes on trying",
        PATIENCE.as_secs();
        "start one there, `swfn-coordinator GRID`, or one with workers of its own, \
         `swfn-coordinator GRID --local-workers auto`"
    )
}

/// A message for each stop line of the coordinator that started this supervisor. The channel closes
/// when that is gone.
fn read_coordinator() -> anyhow::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(1);
    let stop = move || {
        sender.blocking_send(()).ok();
    };
    read_stdin(stop, || {}).context("cannot start a thread")?;
    Ok(receiver)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum StopRequest {
    None,
    InOrder,
    AtOnce,
}

impl StopRequest {
    /// Sends the request, unless it is no stronger than an earlier one.
    fn send(self, stop: &watch::Sender<Self>) {
        stop.send_if_modified(|current| {
            let is_stronger = *current < self;
            *current = self.max(*current);
            is_stronger
        });
    }

    /// Sends the request of a signal. The second signal means at once. Other requests do not count,
    /// since a first signal may come after them.
    fn send_signal(stop: &watch::Sender<Self>, signalled: &mut bool) {
        let request = if *signalled { Self::AtOnce } else { Self::InOrder };
        *signalled = true;
        request.send(stop);
    }
}

/// One device and the processes that follow each other on it.
#[derive(Clone)]
struct Slot {
    program: PathBuf,
    device: String,
    index: usize,
    prefix: String,
    arguments: Value,
    stop: watch::Receiver<StopRequest>,
    shared: Arc<Shared>,
    /// The next process only returns its predecessor's leases, since there is too little memory.
    leaving: bool,
    /// Whether the coordinator has welcomed a process of any slot.
    any_welcomed: Arc<AtomicBool>,
}

impl Slot {
    /// Runs processes until one ends in order; returns its exit code.
    async fn keep_running(mut self) -> anyhow::Result<u8> {
        let mut predecessor = None;
        let mut crashes = 0;
        loop {
            let worker = self.worker_id();
            let notes = Arc::new(Notes::new(&self.any_welcomed));
            let began = Instant::now();
            let kills = self.shared.kills();
            let (status, log) = self.run_once(&worker, predecessor.as_ref(), &notes).await?;
            // A process that was asked to stop gets no successor.
            let stop = *self.stop.borrow();
            let stopped_itself = stop == StopRequest::None && notes.stopping.load(Relaxed);
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            match code {
                Some(code @ (0 | OUT_OF_TIME | UNREACHABLE)) => return Ok(code),
                _ if stop == StopRequest::AtOnce || stopped_itself => return Ok(INTERRUPTED),
                _ if stop == StopRequest::InOrder => return Ok(0),
                _ => {}
            }
            let mut end = describe(status);
            let shortage = self.shared.shortage(kills, status, notes.take_held());
            if let Some(reason) = &shortage {
                end = format!("{end}, {reason}");
            }
            // While others run here, they may have taken the memory: then fewer run, and no trial
            // is blamed.
            let innocent = shortage.is_some() && (self.leaving || self.shared.remove_slot());
            if innocent && !self.leaving {
                self.leaving = true;
                warn!(
                    "the worker on {} leaves, since memory does not suffice for all workers \
                     ({end})\nhint: start fewer workers, or allow more memory",
                    self.device
                );
            }
            ensure!(
                code != Some(HOPELESS),
                "worker on {} gave up; see its messages above",
                self.device
            );
            if notes.welcomed.load(Relaxed) {
                // It may hold leases, also some that it has not received yet.
                let (worker, end) = (worker.clone(), end.clone());
                predecessor = Some(Predecessor { worker, end, log, innocent });
            }
            crashes = if notes.was_useful(began.elapsed()) { 0 } else { crashes + 1 };
            ensure!(
                crashes < MAX_CRASHES,
                "worker on {} failed {crashes} times in a row at its start ({end})",
                self.device
            );
            let pause = Duration::from_millis(250) * 2_u32.pow(crashes);
            warn!(%worker, "worker ended ({end}); starting another in {pause:.1?}");
            tokio::select! {
                () = sleep(pause) => {}
                _ = self.stop.wait_for(|stop| *stop != StopRequest::None) => {
                    return Ok(0);
                }
            }
        }
    }

    /// A new id for each process; its random part is unique among all processes of a host.
    fn worker_id(&self) -> WorkerId {
        let random = RandomState::new().hash_one(Instant::now()) as u32;
        // A machine may have several supervisors; a coordinator starts only one.
        let process = match self.prefix.starts_with('.') {
            true => String::new(),
            false => format!(".{:x}", std::process::id()),
        };
        let (prefix, device) = (&self.prefix, self.device.replace(':', ""));
        let id = format!("{prefix}:{device}-{}{process}:{random:08x}", self.index);
        id.parse().expect("at most 64 letters, digits and signs that are allowed")
    }

    /// Starts a process and waits until it has ended. Returns its status and the end of its log.
    async fn run_once(
        &mut self,
        worker: &WorkerId,
        predecessor: Option<&Predecessor>,
        notes: &Arc<Notes>,
    ) -> anyhow::Result<(ExitStatus, String)> {
        let mut command = Command::new(&self.program);
        let setup = Setup {
            arguments: self.arguments.clone(),
            device: self.device.clone(),
            worker: worker.clone(),
            predecessor: predecessor.cloned(),
        };
        // The file is removed at the end, if the process has not done so.
        let setup = setup.write()?;
        command.arg("device").arg("--setup").arg(setup.path());
        if telemetry::colours() {
            command.env("CLICOLOR_FORCE", "1");
        }
        // When this process is gone, the child notices it by its standard input.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        if self.device == "cpu" {
            // Keeps libraries from starting threads of their own.
            command.env("OMP_NUM_THREADS", "1").env("MKL_NUM_THREADS", "1");
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.program.display()))?;
        // Waiting for the child would close a standard input that is not taken.
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            unreachable!("all three are pipes")
        };
        let reader = tokio::spawn(read_notes(stdout, Arc::clone(notes)));
        let log = tokio::spawn(forward_log(stderr));
        info!(%worker, process = child.id(), "worker started");
        let ended = tokio::select! {
            status = child.wait() => Some(status?),
            _ = self.stop.wait_for(|stop| *stop != StopRequest::None) => None,
            () = notes.wait_for_welcome(), if self.leaving => None,
        };
        let status = match ended {
            Some(status) => status,
            None => self.stop_child(&mut child, &mut stdin).await?,
        };
        // Processes that the child has left behind may keep its pipes open.
        let log = timeout(Duration::from_secs(1), log).await.ok().and_then(Result::ok);
        timeout(Duration::from_secs(1), reader).await.ok();
        Ok((status, log.unwrap_or_default()))
    }

    async fn stop_child(
        &mut self,
        child: &mut Child,
        stdin: &mut ChildStdin,
    ) -> anyhow::Result<ExitStatus> {
        // This fails if the child has just ended.
        stdin.write_all(format!("{STOP_LINE}\n").as_bytes()).await.ok();
        let at_once = |stop: &StopRequest| {
            *stop == StopRequest::AtOnce && !faults::bug("second-signals-are-ignored")
        };
        let status = tokio::select! {
            status = timeout(GRACE, child.wait()) => status.ok(),
            _ = self.stop.wait_for(at_once) => None,
        };
        if let Some(status) = status {
            return Ok(status?);
        }
        child.kill().await.ok();
        Ok(child.wait().await?)
    }
}

/// Forwards the log of a device process; returns its end, without colours.
async fn forward_log(stderr: ChildStderr) -> String {
    let mut tail = Tail::new(MAX_LOG_BYTES);
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        output::print_message(&line);
        tail.push(&line);
        tail.push("\n");
    }
    anstream::adapter::strip_str(tail.text()).to_string()
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => Signal::try_from(signal)
            .map_or(format!("signal {signal}"), |name| format!("signal {signal}, {name}")),
        (None, None) => status.to_string(),
    }
}

mod machine;
mod notes;
mod shortage;

#[cfg(test)]
mod tests;
