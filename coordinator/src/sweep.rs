//! One sweep from its grid file to its exit code: opens, starts, waits, stops, reports.

use std::{
    io::Write as _,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use nix::sys::signal::Signal;
use swfn_access::tls;
use swfn_dashboard::{App, Commander, LiveSummary, queue};
use swfn_exports::tensorboard::Exporter;
use swfn_proto::v1;
use swfn_report::{Extent, Run, Sources};
use swfn_scheduler::{Limits, REQUESTS, Scheduler, turn::Holder};
use swfn_shared::{
    grid::{Grid, MIN_LEASE_SECONDS},
    output,
    person::Retry,
    problem,
    problem::OrProblem as _,
    signals,
    snapshot::Snapshot,
    text, threads,
    trial::TrialSpec,
};
use swfn_store::{
    ArtifactFolder, LogFolder, Reader, Store,
    run_dir::{RunDir, RunFiles, VERIFICATION, replace},
};
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot, watch},
    time::MissedTickBehavior,
};
use tracing::{error, warn};

use crate::{
    amount::Work,
    arguments::SweepArguments,
    custody, dry_run,
    engine::{Engine, EngineError, Request},
    entrances::Entrances,
    grpc::{self, Service},
    local::{self, LocalSupervisor},
    notes::{costly_evaluations, notes},
    progress::{self, Standing, Terminal},
    rates, retry,
};

/// Threads of a sweep on any machine: two of the runtime, the engine's, one that prints, and two
/// that read files.
const THREADS: usize = 6;

/// Time between two ticks of the actor's clock.
const TICK: Duration = Duration::from_millis(250);

/// New snapshots, about two seconds of them, that must show workers before they count as connected.
const SNAPSHOTS_TO_SEE: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SweepEnd {
    AllSucceeded,
    SomeFailed,
    /// A second training had other results.
    Disagreement,
    /// Stopped by SIGTERM or the like, to resume later.
    Terminated,
    /// Stopped by SIGINT.
    Interrupted,
}

pub(crate) fn run(
    arguments: &SweepArguments,
    retry: &Retry,
    terminal: &Terminal,
) -> anyhow::Result<SweepEnd> {
    let (text, grid) = read_grid(arguments)?;
    let path = arguments.run_dir.clone().unwrap_or_else(|| PathBuf::from("runs").join(&grid.name));
    if arguments.dry_run {
        output::print(&dry_run::run(&grid, &path, arguments.local_workers)?)?;
        return Ok(SweepEnd::AllSucceeded);
    }
    let run_dir = RunDir::open(&path)?;
    threads::ensure(THREADS)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let entrances = runtime.block_on(Entrances::open(arguments, &run_dir))?;
    let specs: Arc<[TrialSpec]> = grid.trials().collect();
    let store = Store::open(&run_dir.database())?;
    store.damage.iter().for_each(|damage| warn!("{damage}"));
    retry::check(retry, &store, &specs)?;
    custody::take_stock(&run_dir, &store, &grid, &specs, &text, arguments.replace)?;
    let work = Work::of(specs.iter(), rates::here(&rates::load()));
    for note in notes(&grid, &specs, &work).into_iter().chain(costly_evaluations(&specs, &work)) {
        output::print_message(&format!("note: {note}"));
    }
    let place = run_dir.place().with_context(|| format!("cannot look at `{}`", path.display()))?;
    let mut engine = Engine::new(
        store,
        Scheduler::new(Limits::from(grid.run), specs.iter().copied()),
        &specs,
        grid.selection,
        grid.artifacts,
        ArtifactFolder::open(run_dir.path.join("artifacts"), grid.artifacts)?,
        local::is_local,
    )?;
    engine.logs = Some(LogFolder::new(run_dir.path.join("logs")));
    engine.sends_home = arguments.exit_when_done;
    retry::apply(retry, &mut engine)?;
    let engine = engine.verifies(grid.run.verify, run_dir.path.join(VERIFICATION))?;
    replace(&run_dir.path, "grid.toml", |file| Ok(file.write_all(text.as_bytes())?))?;

    let exporter = arguments
        .tensorboard
        .then(|| Exporter::start(run_dir.database(), run_dir.path.join("tensorboard")))
        .transpose()?;
    let shared = Arc::new(grid.clone());
    let sweep = serve(arguments, terminal, &shared, &place, &specs, engine, entrances);
    let (end, store) = runtime.block_on(sweep)?;
    custody::save(&run_dir, &place, &store, &text)?;
    if let Some(exporter) = exporter {
        exporter.finish();
    }
    rates::keep(&specs, &store);
    let name = run_dir.path.display().to_string();
    let run = Run { path: run_dir.path.clone(), name, grid, text, store };
    let sources = Sources::new(vec![run])?;
    let mut extent = arguments.report;
    if matches!(end, SweepEnd::Interrupted | SweepEnd::Terminated) {
        output::print_message("stopped; run the same command again to resume");
        // A user who stops a sweep does not want to wait for charts.
        if extent == Extent::Full {
            extent = Extent::Tables;
        }
    }
    let summary = swfn_report::write(&sources, &run_dir.path, extent)?;
    let page = match extent {
        Extent::Full => swfn_report::page_line(&run_dir.path),
        Extent::Tables | Extent::None => {
            let path = path.display();
            format!("no report was written: `swfn-coordinator report {path}` writes it\n")
        }
    };
    output::print(&(swfn_report::terminal(&summary, progress::width()) + &page))?;
    let verification = summary.verification.unwrap_or_default();
    swfn_report::verification(&verification)
        .iter()
        .for_each(|sentence| output::print_message(sentence));
    match end {
        SweepEnd::AllSucceeded | SweepEnd::SomeFailed if verification.disagrees() => {
            Ok(SweepEnd::Disagreement)
        }
        _ => Ok(end),
    }
}

fn read_grid(arguments: &SweepArguments) -> anyhow::Result<(String, Grid)> {
    let last = arguments.run_dir.as_ref().map(|run_dir| run_dir.join("grid.toml"));
    let path = arguments.grid.clone().or(last);
    let path = path.or_problem(|| problem!("no grid file"; "name one"))?;
    let text = swfn_store::grid_file::read(&path)?;
    let grid = Grid::parse(&path.display().to_string(), &text, arguments.max_trials)?;
    Ok((text, grid))
}

/// Runs the engine and serves workers and people, until the sweep ends or is stopped.
async fn serve(
    arguments: &SweepArguments,
    terminal: &Terminal,
    grid: &Arc<Grid>,
    place: &RunFiles,
    specs: &[TrialSpec],
    engine: Engine,
    Entrances { access, max_connections, listener, url, health, dashboard, seen_by_all }: Entrances,
) -> anyhow::Result<(SweepEnd, Store)> {
    // First, since a program that sees the lines below may send a signal.
    let mut stops = signals::stops(access.tls.is_none())?;
    access.tls.iter().try_for_each(|tls| tls.renew(tls::LOOK).map(drop))?;
    terminal.say(&format!("sweep {} in `{}`", grid.name, place.path.display()));
    let join =
        terminal.command(&format!("swfn-worker{} --coordinator {url}", access.worker_options()));
    terminal.say(&format!("workers join with: {join}"));
    health.iter().for_each(|(_, address)| terminal.say(&format!("health: {address}")));
    if let Some(door) = &dashboard {
        terminal.say(&format!("dashboard: {}", door.url));
        if seen_by_all {
            terminal.say(
                "all users of this machine can look at it; --http-token requires a token, and \
                 lets you retry and drain there",
            );
        }
    }

    let (snapshots, give_up) = (engine.snapshots.subscribe(), Arc::clone(&engine.give_up));
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (stopped, engine_stopped) = oneshot::channel();
    thread::Builder::new().name("engine".to_owned()).spawn(move || {
        stopped.send(engine.run(inbox)).ok();
    })?;
    // The actor's thread sends nothing if it panics.
    let engine_stopped =
        async { engine_stopped.await.unwrap_or_else(|_| Err(EngineError::panicked())) };
    tokio::pin!(engine_stopped);
    let has_local_workers = arguments.local_workers.is_some();
    let (doors, local_access) = local::doors(listener, access, has_local_workers).await?;
    let service = Service {
        requests: requests.clone(),
        welcome: welcome(grid),
        max_connections,
        max_connection_age: Duration::from_secs(arguments.access.max_connection_age.into()),
        snapshots: snapshots.clone(),
        health: health.map(|(listener, _)| listener),
    };
    let (stop_server, server_stopped) = oneshot::channel::<()>();
    let mut server =
        tokio::spawn(grpc::serve(doors, service, async { server_stopped.await.unwrap_or(()) }));
    let reader = || Reader::new(&place.path.join("sweep.sqlite"));
    let (stop_dashboard, dashboard_stopped) = oneshot::channel::<()>();
    let dashboard = dashboard.map(|door| {
        let (queue, snapshots) = (Some(queue(&requests)), snapshots.clone());
        let mut app = App::new(Arc::clone(grid), place, specs, snapshots, queue, reader());
        // People who see the page may command, but not all users of a machine.
        app.commander = (!seen_by_all).then(|| commander(&requests));
        let apps = watch::channel(Arc::new(app)).1;
        let stopped = async { dashboard_stopped.await.unwrap_or(()) };
        tokio::spawn(swfn_dashboard::serve(door, apps, stopped))
    });
    let ticker = tokio::spawn(tick(requests.clone()));
    let standing = Standing::new(LiveSummary::new(Arc::clone(grid), specs), reader());
    let (name, shown) = (grid.name.clone(), snapshots.clone());
    let progress = tokio::spawn(progress::show(terminal.clone(), name, standing, shown));
    if !has_local_workers {
        let (url, shown) = (url.clone(), snapshots.clone());
        tokio::spawn(progress::suggest_workers(terminal.clone(), url, shown));
    }

    // A sweep that has finished already needs no workers.
    let workers = arguments.local_workers.filter(|_| !snapshots.borrow().finished());
    let mut local = workers
        .map(|workers| {
            LocalSupervisor::start(workers, &local_access, arguments, &place.path.join("logs"))
        })
        .transpose()?;
    // The error of the local workers, until it is known whether there are others.
    let mut failed = None;
    let mut watcher = snapshots.clone();
    // Why the wait ends: a signal, or `None` when the sweep has finished.
    let stopped: anyhow::Result<Option<SweepEnd>> = loop {
        tokio::select! {
            result = &mut engine_stopped => {
                break Err(result.err().unwrap_or_else(EngineError::panicked).into());
            }
            result = &mut server => break Err(anyhow!("the gRPC server ended: {result:?}")),
            end = stop_signal(&mut stops) => break Ok(Some(end)),
            what = custody::wait_for_loss(place) => {
                error!("{what}: stopping");
                break Ok(Some(SweepEnd::Terminated));
            }
            Ok(_) = watcher.wait_for(Snapshot::finished), if arguments.exit_when_done => {
                break Ok(None);
            }
            Some(result) = async { Some(local.as_mut()?.wait().await) } => {
                local = None;
                let (counts, finished) = (snapshots.borrow().counts, snapshots.borrow().finished());
                match result {
                    _ if finished => {}
                    Err(error) => failed = Some(error),
                    Ok(()) => warn!(
                        "the local workers have left, and {} of this sweep are left\n\
                         hint: start workers with `swfn-worker --coordinator {url}`, or stop this \
                         and run the same command again",
                        text::count(counts.pending + counts.leased, "trial")
                    ),
                }
            }
            nobody = nobody_is_left(snapshots.clone()), if failed.is_some() => {
                match failed.take() {
                    Some(error) if nobody && !snapshots.borrow().finished() => break Err(error),
                    Some(error) if !nobody => warn!("{error:#}; the others go on"),
                    _ => {}
                }
            }
        }
    };

    give_up.store(true, Ordering::Relaxed);
    // From here on another signal ends the process at once.
    tokio::spawn(async move {
        stop_signal(&mut stops).await;
        output::exit(130);
    });
    match (local, &stopped) {
        (Some(local), Ok(None)) => local.leave().await,
        (Some(local), _) => local.stop().await,
        (None, _) => {}
    }
    let end = stopped?.unwrap_or(SweepEnd::AllSucceeded);
    // Before the store is closed: the last connection to the file cleans up.
    drop(stop_dashboard);
    if let Some(dashboard) = dashboard {
        dashboard.await.ok();
    }
    requests.send(Request::Stop).await.ok();
    let store = engine_stopped.await?;
    stop_server.send(()).ok();
    // The streams have ended with the actor. A lingering connection must not delay the results.
    tokio::time::timeout(Duration::from_secs(2), server).await.ok();
    ticker.abort();
    progress.await.ok();
    let last = snapshots.borrow();
    let end = match last.finished() {
        false => end,
        true if last.counts.quarantined > 0 => SweepEnd::SomeFailed,
        true => SweepEnd::AllSucceeded,
    };
    Ok((end, store))
}

fn welcome(grid: &Grid) -> v1::Welcome {
    v1::Welcome {
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        sweep: grid.name.clone(),
        lease_seconds: grid.run.lease_seconds,
        stall_seconds: grid.run.stall_seconds,
        // Three heartbeats may get lost before a lease does.
        heartbeat_seconds: (grid.run.lease_seconds / MIN_LEASE_SECONDS).clamp(1, 15),
    }
}

/// Sends people's commands from the page to the actor. It does not keep the actor running.
fn commander(requests: &mpsc::Sender<Request>) -> Commander {
    let requests = requests.downgrade();
    Box::new(move |command| {
        let requests = requests.upgrade();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let request = Request::Command { command, holder: Holder::Anyone, answer };
            requests?.send(request).await.ok()?;
            answered.await.ok()
        })
    })
}

/// Sends ticks to the actor, at most one at a time. Otherwise ticks would fill the channel while
/// the actor waits for its disk, and messages of workers would find no room.
async fn tick(requests: mpsc::Sender<Request>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (received, is_received) = oneshot::channel();
        if requests.send(Request::Tick { received }).await.is_err() {
            return;
        }
        is_received.await.ok();
        interval.tick().await;
    }
}

/// Whether no worker is connected. Only new snapshots count: the last ones may show workers that
/// have just ended, and an actor that waits for its disk makes none.
async fn nobody_is_left(mut snapshots: watch::Receiver<Snapshot>) -> bool {
    snapshots.mark_unchanged();
    for _ in 0..SNAPSHOTS_TO_SEE {
        if snapshots.changed().await.is_err() {
            // The actor stopped; another branch notices that.
            return std::future::pending().await;
        }
        if snapshots.borrow_and_update().workers == 0 {
            return true;
        }
    }
    false
}

async fn stop_signal(stops: &mut mpsc::Receiver<Signal>) -> SweepEnd {
    match stops.recv().await {
        Some(Signal::SIGINT) => SweepEnd::Interrupted,
        Some(_) => SweepEnd::Terminated,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
