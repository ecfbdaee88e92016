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
use swfn_exports::tensorboard::Exporter;
use swfn_proto::v1;
use swfn_report::{Extent, Run, Sources};
use swfn_scheduler::{Limits, REQUESTS, turn::Holder};
use swfn_shared::{
    grid::{Grid, MIN_LEASE_SECONDS},
    output,
    person::Retry,
    problem, signals,
    snapshot::Snapshot,
    threads,
    trial::TrialSpec,
};
use swfn_store::{
    ArtifactFolder, LogFolder, Reader, Store,
    run_dir::{RunDir, RunFiles, VERIFICATION, replace},
};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
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

/// Threads of a sweep, whatever the cores: two of the runtime, the engine's, one that writes to people, and some that read files.
const THREADS: usize = 6;

/// How often the actor looks at the clock when nobody speaks.
const TICK: Duration = Duration::from_millis(250);

/// New snapshots, about two seconds of them, which show workers before they are taken to be there.
const SNAPSHOTS_TO_SEE: usize = 8;

/// How a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    AllSucceeded,
    SomeFailed,
    /// Trials that were trained a second time came to something else.
    Disagreement,
    /// SIGTERM and what is like it: stopped in order, to go on later.
    Terminated,
    /// SIGINT.
    Interrupted,
}

/// Runs the sweep that the command line names.
pub(crate) fn run(
    arguments: &SweepArguments,
    retry: &Retry,
    terminal: &Terminal,
) -> anyhow::Result<Ending> {
    let (text, grid) = read_grid(arguments)?;
    let path = arguments.run_dir.clone().unwrap_or_else(|| PathBuf::from("runs").join(&grid.name));
    if arguments.dry_run {
        output::print(&dry_run::run(&grid, &path, arguments.local_workers)?)?;
        return Ok(Ending::AllSucceeded);
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
    if let Some(damage) = store.log_damage() {
        warn!("{damage}");
    }
    retry::check(retry, &store, &specs)?;
    custody::take_stock(&run_dir, &store, &grid, &specs, &text, arguments.replace)?;
    let work = Work::of(specs.iter(), rates::here(&rates::load()));
    for note in notes(&grid, &specs, &work).into_iter().chain(costly_evaluations(&specs, &work)) {
        output::print_message(&format!("note: {note}"));
    }
    let place = run_dir.place().with_context(|| format!("cannot look at `{}`", path.display()))?;
    let folder = ArtifactFolder::open(run_dir.artifacts(), grid.artifacts)?;
    let limits = Limits::from(grid.run);
    let engine = Engine::new(
        store,
        limits,
        specs.to_vec(),
        grid.selection,
        grid.artifacts,
        folder,
        local::is_local,
    )?;
    let mut engine = engine
        .with_logs(LogFolder::new(run_dir.logs()))
        .sends_workers_home(arguments.exit_when_done);
    retry::apply(retry.clone(), &mut engine)?;
    let engine = engine.verifies(grid.run.verify, run_dir.path().join(VERIFICATION))?;
    replace(run_dir.path(), "grid.toml", |file| Ok(file.write_all(text.as_bytes())?))?;

    let exporter = arguments
        .tensorboard
        .then(|| Exporter::start(run_dir.database(), run_dir.tensorboard()))
        .transpose()?;
    let whole = Whole { grid: &grid, run_dir: &run_dir, place: &place, specs: &specs };
    let (ending, store) =
        runtime.block_on(serve(arguments, terminal, &whole, engine, entrances))?;
    if let Some(error) = custody::save(&run_dir, &place, &store, &text) {
        return Err(error);
    }
    if let Some(exporter) = exporter {
        exporter.finish();
    }
    rates::keep(&specs, &store);
    let name = run_dir.path().display().to_string();
    let run = Run { path: run_dir.path().to_owned(), name, grid, text, store };
    let sources = Sources::new(vec![run])?;
    let mut extent = arguments.report;
    if matches!(ending, Ending::Interrupted | Ending::Terminated) {
        output::print_message("stopped; run the same command again to go on");
        // A user who stops a sweep does not want to wait for charts; `swfn-coordinator report` draws them at any time.
        if extent == Extent::Full {
            extent = Extent::Tables;
        }
    }
    let summary = swfn_report::write(&sources, run_dir.path(), extent)?;
    let end = match extent {
        Extent::Full => swfn_report::page_line(run_dir.path()),
        Extent::Tables | Extent::None => {
            format!(
                "no report was written: `swfn-coordinator report {}` writes it\n",
                path.display()
            )
        }
    };
    output::print(&(swfn_report::terminal(&summary, progress::width()) + &end))?;
    let verification = summary.verification.unwrap_or_default();
    swfn_report::verification(&verification)
        .iter()
        .for_each(|sentence| output::print_message(sentence));
    match ending {
        Ending::AllSucceeded | Ending::SomeFailed if verification.disagrees() => {
            Ok(Ending::Disagreement)
        }
        _ => Ok(ending),
    }
}

fn read_grid(arguments: &SweepArguments) -> anyhow::Result<(String, Grid)> {
    let path = match (&arguments.grid, &arguments.run_dir) {
        (Some(grid), _) => grid.clone(),
        (None, Some(run_dir)) => run_dir.join("grid.toml"),
        (None, None) => return Err(anyhow!(problem!("no grid file"; "name one"))),
    };
    let text = swfn_store::grid_file::read(&path)?;
    let grid = Grid::parse(&path.display().to_string(), &text, arguments.max_trials)?;
    Ok((text, grid))
}

/// What the waiting ended with.
enum Event {
    Finished,
    Signal(Ending),
    Broken(anyhow::Error),
}

/// What a sweep is about, and where it is kept.
struct Whole<'s> {
    grid: &'s Grid,
    run_dir: &'s RunDir,
    place: &'s RunFiles,
    specs: &'s Arc<[TrialSpec]>,
}

async fn serve(
    arguments: &SweepArguments,
    terminal: &Terminal,
    &Whole { grid, run_dir, place, specs }: &Whole<'_>,
    engine: Engine,
    Entrances { access, max_connections, listener, url, health, dashboard, seen_by_all }: Entrances,
) -> anyhow::Result<(Ending, Store)> {
    // Before anybody hears of this coordinator: who knows of it may ask it to stop.
    let mut stops = signals::stops(access.tls.is_none())?;
    if let Some(tls) = access.tls.clone() {
        let hangups = signal(SignalKind::hangup())?;
        tokio::spawn(async move { tls.keep(hangups, tls::LOOK).await });
    }
    terminal.say(&format!("sweep {} in `{}`", grid.name, run_dir.path().display()));
    let join =
        terminal.command(&format!("swfn-worker{} --coordinator {url}", access.worker_options()));
    terminal.say(&format!("workers join with: {join}"));
    health.iter().for_each(|(_, address)| terminal.say(&format!("health: {address}")));
    if let Some(door) = &dashboard {
        terminal.say(&format!("dashboard: {}", door.url));
        if seen_by_all {
            terminal.say("all users of this machine can look at it; --http-token asks for a token, and lets you retry and drain there");
        }
    }

    let snapshots = engine.watch();
    let mut watcher = snapshots.clone();
    let give_up = engine.give_up();
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (stopped, mut engine_stopped) = oneshot::channel();
    thread::Builder::new().name("engine".to_owned()).spawn(move || {
        stopped.send(engine.run(inbox)).ok();
    })?;
    let (stop_server, server_stopped) = oneshot::channel::<()>();
    let (doors, local_access) =
        local::doors(listener, access, arguments.local_workers.is_some()).await?;
    let service = Service {
        requests: requests.clone(),
        welcome: welcome(grid),
        max_connections,
        max_connection_age: Duration::from_secs(arguments.access.max_connection_age.into()),
        snapshots: snapshots.clone(),
        health: health.map(|(listener, _)| listener),
    };
    let mut server = tokio::spawn(grpc::serve(doors, service, async {
        server_stopped.await.ok();
    }));
    let (stop_dashboard, dashboard_stopped) = oneshot::channel::<()>();
    let dashboard = dashboard.map(|door| {
        let reader = Reader::new(&run_dir.database());
        let queue = Some(swfn_dashboard::Queue::new(&requests));
        let app = swfn_dashboard::App::new(
            Arc::new(grid.clone()),
            place,
            specs,
            snapshots.clone(),
            queue,
            reader,
        );
        // Whoever can look may command, but not all users of a machine.
        let app = if seen_by_all { app } else { app.with_commands(commander(&requests)) };
        tokio::spawn(swfn_dashboard::serve(door, watch::channel(Arc::new(app)).1, async {
            dashboard_stopped.await.ok();
        }))
    });
    let ticks = requests.clone();
    let ticker = tokio::spawn(tick(ticks));
    let summary = swfn_dashboard::LiveSummary::new(Arc::new(grid.clone()), specs);
    let standing = Standing::new(summary, Reader::new(&run_dir.database()));
    let progress = tokio::spawn(progress::show(
        terminal.clone(),
        grid.name.clone(),
        standing,
        snapshots.clone(),
    ));
    if arguments.local_workers.is_none() {
        tokio::spawn(progress::tell_what_to_start(
            terminal.clone(),
            url.clone(),
            snapshots.clone(),
        ));
    }

    let mut local = match arguments.local_workers {
        // Nothing left to do: starting workers would only take time.
        Some(_) if snapshots.borrow().finished() => None,
        Some(workers) => {
            let data_dir = arguments.data_dir.as_deref();
            let (lanes, logs) = (arguments.lanes, run_dir.logs());
            Some(LocalSupervisor::start(
                workers,
                &local_access,
                data_dir,
                lanes,
                &logs,
                arguments.log_format,
            )?)
        }
        None => None,
    };
    // How the local workers ended, until it is known whether there are others.
    let mut failed = None;
    let event = loop {
        tokio::select! {
            result = &mut engine_stopped => break Event::Broken(last_words(result).err().unwrap_or_else(EngineError::panicked).into()),
            result = &mut server => break Event::Broken(anyhow!("the gRPC server ended: {result:?}")),
            ending = stop_signal(&mut stops) => break Event::Signal(ending),
            what = custody::lost(place) => {
                error!("{what}: stopping");
                break Event::Signal(Ending::Terminated);
            }
            () = finished(&mut watcher), if arguments.exit_when_done => break Event::Finished,
            result = wait_for(&mut local), if local.is_some() => {
                local = None;
                let (counts, finished) = (snapshots.borrow().counts, snapshots.borrow().finished());
                match result {
                    _ if finished => {}
                    Err(error) => failed = Some(error),
                    Ok(()) => warn!(
                        "the local workers have left, and {} of this sweep are left\nhint: start workers with `swfn-worker \
                         --coordinator {url}`, or stop this and run the same command again",
                        custody::trials(counts.pending + counts.leased)
                    ),
                }
            }
            nobody = nobody_is_left(snapshots.clone()), if failed.is_some() => {
                match failed.take() {
                    Some(error) if nobody && !snapshots.borrow().finished() => break Event::Broken(error),
                    Some(error) if !nobody => warn!("{error:#}; the others go on"),
                    _ => {}
                }
            }
        }
    };

    give_up.store(true, Ordering::Relaxed);
    // From here on a signal, or a second one, waits for nothing.
    tokio::spawn(async move {
        stop_signal(&mut stops).await;
        output::exit(130);
    });
    if let Some(local) = local {
        match event {
            Event::Finished => local.leave().await,
            Event::Signal(_) | Event::Broken(_) => local.stop().await,
        }
    }
    let ending = match event {
        Event::Finished => Ending::AllSucceeded,
        Event::Signal(ending) => ending,
        Event::Broken(error) => return Err(error),
    };
    // Before the file is closed: the last connection to it tidies it up.
    drop(stop_dashboard);
    if let Some(dashboard) = dashboard {
        dashboard.await.ok();
    }
    requests.send(Request::Stop).await.ok();
    let store = last_words(engine_stopped.await)?;
    stop_server.send(()).ok();
    // Streams have ended with the actor; a connection that lingers must not keep the results waiting.
    tokio::time::timeout(Duration::from_secs(2), server).await.ok();
    ticker.abort();
    progress.await.ok();
    let (counts, finished) = (snapshots.borrow().counts, snapshots.borrow().finished());
    let ending = match finished {
        false => ending,
        true if counts.quarantined > 0 => Ending::SomeFailed,
        true => Ending::AllSucceeded,
    };
    Ok((ending, store))
}

/// What the actor's thread left; nothing at all if it panicked.
fn last_words(
    left: Result<Result<Store, EngineError>, oneshot::error::RecvError>,
) -> Result<Store, EngineError> {
    left.unwrap_or_else(|_| Err(EngineError::panicked()))
}

fn welcome(grid: &Grid) -> v1::Welcome {
    v1::Welcome {
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        sweep: grid.name.clone(),
        lease_seconds: grid.run.lease_seconds,
        // Three beats may get lost before a lease does.
        stall_seconds: grid.run.stall_seconds,
        heartbeat_seconds: (grid.run.lease_seconds / MIN_LEASE_SECONDS).clamp(1, 15),
    }
}

/// The way of people's commands from the page to the actor, which stops when all others are gone.
fn commander(requests: &mpsc::Sender<Request>) -> swfn_dashboard::Commander {
    let requests = requests.downgrade();
    swfn_dashboard::Commander::new(move |command| {
        let requests = requests.upgrade();
        async move {
            let (answer, answered) = oneshot::channel();
            requests?
                .send(Request::Command { command, holder: Holder::Anyone, answer })
                .await
                .ok()?;
            answered.await.ok()
        }
    })
}

/// Tells the actor that time passes, once at a time: while it waits for its disk, ticks would fill the channel, and workers find no place.
async fn tick(requests: mpsc::Sender<Request>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (taken, is_taken) = oneshot::channel();
        if requests.send(Request::Tick { taken }).await.is_err() {
            return;
        }
        is_taken.await.ok();
        interval.tick().await;
    }
}

async fn finished(snapshots: &mut watch::Receiver<Snapshot>) {
    // An error means that the actor stopped, which is noticed elsewhere.
    if snapshots.wait_for(Snapshot::finished).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Whether no worker is connected. Snapshots come several times a second, and some still show workers that have just ended; an actor that
/// waits for its disk makes none, and what it showed before is no answer.
async fn nobody_is_left(mut snapshots: watch::Receiver<Snapshot>) -> bool {
    snapshots.mark_unchanged();
    for _ in 0..SNAPSHOTS_TO_SEE {
        if snapshots.changed().await.is_err() {
            // The actor stopped, which is noticed elsewhere.
            return std::future::pending().await;
        }
        if snapshots.borrow_and_update().workers == 0 {
            return true;
        }
    }
    false
}

async fn stop_signal(stops: &mut mpsc::Receiver<Signal>) -> Ending {
    match stops.recv().await {
        Some(Signal::SIGINT) => Ending::Interrupted,
        Some(_) => Ending::Terminated,
        None => std::future::pending().await,
    }
}

async fn wait_for(local: &mut Option<LocalSupervisor>) -> anyhow::Result<()> {
    match local {
        Some(local) => local.wait().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
