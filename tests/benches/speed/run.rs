//! A real sweep with local workers on the CPU, observed from outside: its times, its logs, its
//! memory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use swfn_tests::{
    process::{Process, children},
    programs, timeline,
};

/// Time between two looks at the processes.
const POLL: Duration = Duration::from_millis(20);

/// Time between two looks at the memory. It is a high-water mark, so the last look counts.
const MEMORY_POLL: Duration = Duration::from_millis(200);

/// A sweep of a few minutes that takes so long hangs.
const LIMIT: Duration = Duration::from_secs(1800);

/// A finished sweep.
pub(crate) struct Run {
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
    /// The log of the coordinator and the local workers.
    pub(crate) log: Vec<Value>,
    /// The lines of `trials.jsonl`.
    pub(crate) results: Vec<Value>,
    /// Peak resident memory in bytes: that of the coordinator, and the largest of its workers'
    /// device processes.
    pub(crate) coordinator_memory: u64,
    pub(crate) worker_memory: u64,
}

/// Runs the grid with so many workers. `folder` gets the run directory `name` and the output; all
/// processes share `cache`.
pub(crate) fn sweep(
    grid: &Path,
    folder: &Path,
    name: &str,
    cache: &Path,
    workers: usize,
) -> anyhow::Result<Run> {
    let run_dir = folder.join(name);
    let mut command = Command::new(programs::folder().join("swfn-coordinator"));
    command.arg("--grid").arg(grid).arg("--run-dir").arg(&run_dir).args(["--log-format", "json"]);
    command.args(["--local-workers", &workers.to_string()]);
    // Only the CPU is measured. The workers' debug lines show when they reported.
    command
        .env("SWFN_CACHE", cache)
        .env("RUST_LOG", "info,swfn_worker=debug")
        .env("CUDA_VISIBLE_DEVICES", "");
    let (began, start) = (Instant::now(), SystemTime::now());
    let mut coordinator = Process::start(&mut command, folder, name);
    let mut memory: BTreeMap<u32, u64> = BTreeMap::new();
    let mut looked = began;
    let status = loop {
        if let Some(status) = coordinator.ended() {
            break status;
        }
        if looked.elapsed() > MEMORY_POLL {
            looked = Instant::now();
            let devices = children(coordinator.id()).into_iter().flat_map(children);
            for process in devices.chain([coordinator.id()]) {
                memory
                    .entry(process)
                    .and_modify(|most| *most = peak_memory(process).max(*most))
                    .or_insert_with(|| peak_memory(process));
            }
        }
        if began.elapsed() > LIMIT {
            bail!("the sweep of `{}` did not end within {LIMIT:?}", grid.display());
        }
        sleep(POLL);
    };
    let end = start + began.elapsed();
    if !status.success() {
        bail!("the sweep of `{}` failed ({status}):\n{}", grid.display(), coordinator.stderr());
    }
    let text = |file: PathBuf| {
        fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))
    };
    let mut log = timeline::lines(&coordinator.stderr());
    log.extend(timeline::lines(&text(run_dir.join("logs/local-workers.log"))?));
    let results = timeline::lines(&text(run_dir.join("trials.jsonl"))?);
    let coordinator_memory = memory.remove(&coordinator.id()).unwrap_or_default();
    let worker_memory = memory.into_values().max().unwrap_or_default();
    Ok(Run { start, end, log, results, coordinator_memory, worker_memory })
}

/// Returns the peak resident memory of a process so far, in bytes; zero once it has ended.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or_default()
        * 1024
}
