//! One process per device: started, watched, started again.
//!
//! Torch's random state is global, and a poisoned CUDA context or an exhausted memory ends one process only. A new process names the dead
//! one, so that the coordinator need not wait for its leases to expire.

use std::{
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
    output, signals, telemetry,
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
    ending::{Ended, Signals, Stop},
    machine::id_prefix,
    said::{Said, listen, welcomed},
    shortage::Shared,
};
use crate::{
    cgroup::Memory,
    process::{HOPELESS, OUT_OF_TIME, UNREACHABLE, hear_stops},
    setup::Setup,
};

/// Time that a process has to give its leases back before it is killed.
const GRACE: Duration = Duration::from_secs(20);

/// Time without a coordinator after which a person is told what to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Processes that end without having come to anything, one after the other, after which a device is given up.
const MAX_CRASHES: u32 = 5;

/// Exit code of a process that was asked to stop twice.
pub(crate) const INTERRUPTED: u8 = 130;

/// What the supervisor needs to start its processes.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    /// Devices, one process each.
    pub(crate) devices: Vec<String>,
    /// The arguments that all processes share.
    pub(crate) arguments: Value,
    /// The run of a coordinator that started this supervisor: it is the beginning of the workers' ids, and the supervisor ends when its
    /// standard input closes.
    pub(crate) local_to: Option<String>,
    /// Where the coordinator is.
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
        let prefix = id_prefix(self.local_to.as_deref());
        let (stop, stopping) = watch::channel(Stop::No);
        let met = Arc::new(AtomicBool::new(false));
        let mut slots = JoinSet::new();
        let shared = Arc::new(Shared::new(Memory::here(), self.devices.len()));
        for (index, device) in self.devices.iter().enumerate() {
            let slot = Slot {
                program: program.clone(),
                device: device.clone(),
                index,
                prefix: prefix.clone(),
                arguments: self.arguments.clone(),
                stop: stopping.clone(),
                shared: Arc::clone(&shared),
                leaving: false,
                met: Arc::clone(&met),
            };
            slots.spawn(slot.keep_running());
        }
        let mut coordinator = self.local_to.is_some().then(listen_to_coordinator).transpose()?;
        let mut stops = signals::stops(true)?;
        let mut signals = Signals::default();
        let mut worst = Ended::InOrder;
        let mut patience = pin!(sleep(PATIENCE));
        // A coordinator that starts its workers itself is there.
        let mut waits = self.local_to.is_none();
        loop {
            tokio::select! {
                () = &mut patience, if waits => {
                    waits = false;
                    if !met.load(Relaxed) {
                        warn!("{}", what_to_start(&self.coordinator));
                    }
                }
                ended = slots.join_next() => match ended {
                    None => return Ok(worst.code()),
                    Some(Ok(Ok(ended))) => worst = worst.max(ended),
                    Some(Ok(Err(problem))) => {
                        error!("{problem:#}");
                        worst = worst.max(Ended::GivenUp);
                    }
                    Some(Err(panic)) => bail!("a supervising task ended: {panic}"),
                },
                Some(_) = stops.recv() => signals.came(&stop),
                asked = async { coordinator.as_mut()?.recv().await }, if coordinator.is_some() => {
                    if asked.is_none() {
                        // Dropping the children kills them.
                        error!("the coordinator that started this worker is gone");
                        return Ok(ExitCode::FAILURE);
                    }
                    Stop::InOrder.tell(&stop);
                }
            }
        }
    }
}

/// What a person can do where no coordinator answers.
fn what_to_start(coordinator: &str) -> String {
    format!(
        "no coordinator has answered at {coordinator} for {} s; this worker goes on trying\n\
         hint: start one there, `swfn-coordinator GRID`, or one with workers of its own, `swfn-coordinator GRID --local-workers auto`",
        PATIENCE.as_secs()
    )
}

/// Something each time that the coordinator which started this supervisor asks it to stop; nothing more when that is gone.
fn listen_to_coordinator() -> anyhow::Result<mpsc::Receiver<()>> {
    let (asked, heard) = mpsc::channel(1);
    // A thread of its own: tokio's would keep the runtime from ending.
    let hear = move || {
        hear_stops(|| {
            asked.blocking_send(()).ok();
        });
    };
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(hear)
        .context("cannot start a thread")?;
    Ok(heard)
}

/// One device and the processes that follow each other on it.
struct Slot {
    program: PathBuf,
    device: String,
    index: usize,
    prefix: String,
    arguments: Value,
    stop: watch::Receiver<Stop>,
    shared: Arc<Shared>,
    /// The next process only gives back what the one before it held: there is no memory for as many.
    leaving: bool,
    /// Whether the coordinator has welcomed a process of any slot.
    met: Arc<AtomicBool>,
}

impl Slot {
    async fn keep_running(mut self) -> anyhow::Result<Ended> {
        let mut predecessor = None;
        let mut crashes = 0;
        loop {
            let worker = self.worker_id();
            let said = Arc::new(Said::new(&self.met));
            let began = Instant::now();
            let kills = self.shared.kills();
            let (status, log) = self.run_once(&worker, predecessor.as_ref(), &said).await?;
            // Nobody who was asked to stop gets a successor, whoever asked.
            let stop = *self.stop.borrow();
            let by_itself = stop == Stop::No && said.stopping.load(Relaxed);
            match status.code() {
                Some(0) => return Ok(Ended::InOrder),
                Some(code) if code == i32::from(OUT_OF_TIME) => return Ok(Ended::OutOfTime),
                Some(code) if code == i32::from(UNREACHABLE) => return Ok(Ended::Alone),
                _ if stop == Stop::AtOnce || by_itself => return Ok(Ended::AtOnce),
                _ if stop == Stop::InOrder => return Ok(Ended::InOrder),
                _ => {}
            }
            let mut ended = describe(status);
            let shortage = self.shared.shortage(kills, status, said.held_at_its_end());
            if let Some(reason) = &shortage {
                ended = format!("{ended}, {reason}");
            }
            // As long as others run here, they may have been the ones that took too much: fewer are tried, and no trial is blamed.
            let innocent = shortage.is_some() && (self.leaving || self.shared.one_less());
            if innocent && !self.leaving {
                self.leaving = true;
                warn!(
                    "that on {} leaves, since memory does not suffice for all workers ({ended})\nhint: start fewer, or allow more memory",
                    self.device
                );
            }
            ensure!(
                status.code() != Some(HOPELESS.into()),
                "worker on {} gave up; see its messages above",
                self.device
            );
            if said.welcomed.load(Relaxed) {
                // It may hold leases, also those of which it never heard.
                let (worker, end) = (worker.clone(), ended.clone());
                predecessor = Some(Predecessor { worker, end, log, innocent });
            }
            crashes = if said.was_of_use(began.elapsed()) { 0 } else { crashes + 1 };
            ensure!(
                crashes < MAX_CRASHES,
                "worker on {} failed {crashes} times in a row at its start ({ended})",
                self.device
            );
            let pause = Duration::from_millis(250) * 2_u32.pow(crashes);
            warn!(%worker, "worker ended ({ended}); starting another in {pause:.1?}");
            tokio::select! {
                () = sleep(pause) => {}
                _ = self.stop.wait_for(|stop| *stop != Stop::No) => return Ok(Ended::InOrder),
            }
        }
    }

    /// A new id for each process: its random part keeps processes of one host apart for ever.
    fn worker_id(&self) -> WorkerId {
        let random = RandomState::new().hash_one(Instant::now()) as u32;
        // Supervisors that are started beside each other have places of their own; a coordinator has only one.
        let beside = if self.prefix.starts_with('.') {
            String::new()
        } else {
            format!(".{:x}", std::process::id())
        };
        let id = format!(
            "{}:{}-{}{beside}:{random:08x}",
            self.prefix,
            self.device.replace(':', ""),
            self.index
        );
        id.parse().expect("at most 64 letters, digits and signs that are allowed")
    }

    async fn run_once(
        &mut self,
        worker: &WorkerId,
        predecessor: Option<&Predecessor>,
        said: &Arc<Said>,
    ) -> anyhow::Result<(ExitStatus, String)> {
        let mut command = Command::new(&self.program);
        let setup = Setup {
            arguments: self.arguments.clone(),
            device: self.device.clone(),
            worker: worker.clone(),
            predecessor: predecessor.cloned(),
        };
        // Kept until the process has ended, which should have removed it.
        let setup = setup.write()?;
        command.arg("device").arg("--setup").arg(setup.path());
        if telemetry::colours() {
            command.env("CLICOLOR_FORCE", "1");
        }
        // Standard input is a pipe from here: when this process is gone, the child notices.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        if self.device == "cpu" {
            // Before torch is loaded, so that no library starts threads of its own.
            command.env("OMP_NUM_THREADS", "1").env("MKL_NUM_THREADS", "1");
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.program.display()))?;
        // Taken out, since waiting for the child would close it.
        let mut stdin = child.stdin.take();
        let words =
            child.stdout.take().map(|stdout| tokio::spawn(listen(stdout, Arc::clone(said))));
        let log = child.stderr.take().map(|stderr| tokio::spawn(pass_on(stderr)));
        info!(%worker, process = child.id(), "worker started");
        let ended = tokio::select! {
            status = child.wait() => Some(status?),
            _ = self.stop.wait_for(|stop| *stop != Stop::No) => None,
            () = welcomed(said), if self.leaving => None,
        };
        let status = match ended {
            Some(status) => status,
            None => self.stop_child(&mut child, stdin.as_mut()).await?,
        };
        // What it has written is there; whoever it may have started and left behind is not waited for.
        let log = match log {
            Some(log) => timeout(Duration::from_secs(1), log)
                .await
                .ok()
                .and_then(Result::ok)
                .unwrap_or_default(),
            None => String::new(),
        };
        if let Some(words) = words {
            timeout(Duration::from_secs(1), words).await.ok();
        }
        Ok((status, log))
    }

    async fn stop_child(
        &mut self,
        child: &mut Child,
        stdin: Option<&mut ChildStdin>,
    ) -> anyhow::Result<ExitStatus> {
        if let Some(stdin) = stdin {
            // One that has just ended hears nothing.
            stdin.write_all(format!("{STOP_LINE}\n").as_bytes()).await.ok();
        }
        let in_order = async {
            tokio::select! {
                status = timeout(GRACE, child.wait()) => status.ok(),
                _ = self.stop.wait_for(|stop| *stop == Stop::AtOnce && !faults::bug("second-signals-are-ignored")) => None,
            }
        };
        if let Some(status) = in_order.await {
            return Ok(status?);
        }
        child.kill().await.ok();
        Ok(child.wait().await?)
    }
}

/// Passes on what a device process writes to its log, to its end; returns the last of it, without colours.
async fn pass_on(stderr: ChildStderr) -> String {
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
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(name) => format!("signal {signal}, {name}"),
            Err(_) => format!("signal {signal}"),
        },
        (None, None) => status.to_string(),
    }
}

mod ending;
mod machine;
mod said;
mod shortage;

#[cfg(test)]
mod tests;
