//! `swfn-coordinator view`: the page of a sweep that has ended, or that another process runs. It
//! only reads the files of the run directory, so it does not disturb the process that writes them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use swfn_access::{DoorArguments, tls};
use swfn_dashboard::{App, Door, HttpArguments, follow};
use swfn_shared::{
    access::Token,
    grid::Grid,
    output, problem,
    problem::OrProblem as _,
    signals,
    snapshot::Snapshot,
    telemetry::{self, LogFormat},
    threads,
    trial::TrialSpec,
};
use swfn_store::{Reader, ensure_readable, grid_file, run_dir::RunFiles};
use tokio::{
    runtime::Builder,
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::local;

/// Threads of a view: two of the runtime, and two that read files.
const THREADS: usize = 4;

/// Time between two checks for another grid.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct ViewArguments {
    /// Run directory of the sweep, which may be running
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
    #[command(flatten, next_help_heading = "Page")]
    http: HttpArguments,
    #[command(flatten, next_help_heading = "Security")]
    door: DoorArguments,
}

/// Shows the page until it is interrupted.
pub(crate) fn run(arguments: &ViewArguments) -> anyhow::Result<String> {
    telemetry::init(LogFormat::default(), "warn");
    let sweep = Sweep::open(&arguments.run)?;
    threads::ensure(THREADS)?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(show(arguments, sweep))?;
    Ok(String::new())
}

/// A sweep as its files have it.
struct Sweep {
    text: String,
    grid: Arc<Grid>,
    specs: Arc<[TrialSpec]>,
    place: RunFiles,
}

impl Sweep {
    fn open(run: &Path) -> anyhow::Result<Self> {
        ensure_readable(&run.join("sweep.sqlite"))?;
        let (file, shown) = (run.join("grid.toml"), run.display());
        let text = grid_file::read(&file).or_problem(
            || problem!("`{shown}` lacks its grid"; "copy the grid file there, as grid.toml"),
        )?;
        // A grid that was run is within the limit that it had then.
        let grid = Grid::parse(&file.display().to_string(), &text, u64::MAX)?;
        let specs = grid.trials().collect();
        let place = RunFiles::of(run, &["sweep.sqlite"])
            .with_context(|| format!("cannot look at `{shown}`"))?;
        Ok(Self { text, grid: Arc::new(grid), specs, place })
    }

    /// Starts to follow the files; returns what the page shows of them.
    fn app(&self) -> Arc<App> {
        let reader = Reader::of_others(&self.place.path.join("sweep.sqlite"));
        let (send, snapshots) = watch::channel(Snapshot::default());
        tokio::spawn(follow(reader.clone(), Arc::clone(&self.specs), send));
        let grid = Arc::clone(&self.grid);
        let app = Arc::new(App::new(grid, &self.place, &self.specs, snapshots, None, reader));
        let warmed = Arc::clone(&app);
        tokio::spawn(async move { warmed.warm().await });
        app
    }
}

async fn show(arguments: &ViewArguments, sweep: Sweep) -> anyhow::Result<()> {
    let ViewArguments { run, http, door } = arguments;
    let mut access = door.read(None)?;
    if http.http_token && access.token.is_none() {
        access.token = token(run)?;
    }
    let mut stops = signals::stops(access.tls.is_none())?;
    access.tls.iter().try_for_each(|tls| tls.renew(tls::LOOK).map(drop))?;
    let opened = Door::open(http, &access, door, "").await?.or_problem(
        || problem!("without a page there is nothing to view"; "leave `--http off` out"),
    )?;
    let all = match access.token.is_none() && local::has_other_users() {
        true => " (all users of this machine can look; --http-token requires a token)",
        false => "",
    };
    let (shown, url) = (run.display(), &opened.url);
    output::print_message(&format!("`{shown}` is shown at\n  {url}{all}\nCtrl-C ends this"));
    let (apps, newest) = watch::channel(sweep.app());
    let stopped = async {
        tokio::select! {
            _ = stops.recv() => {}
            () = follow_grid(sweep, run, &apps) => {}
        }
    };
    swfn_dashboard::serve(opened, newest, stopped).await;
    Ok(())
}

/// The token of the run directory; a view writes none.
fn token(run: &Path) -> anyhow::Result<Option<Token>> {
    let file = run.join(local::TOKEN_FILE);
    ensure!(
        file.is_file(),
        problem!(
            "there is no token to ask for: `{}` is not there", file.display();
            "name a file with --token-file"
        )
    );
    Ok(Token::find(Some(&file))?)
}

/// Shows another app when the run has another grid, for example with more seeds. Never ends.
async fn follow_grid(mut sweep: Sweep, run: &Path, apps: &watch::Sender<Arc<App>>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let is_same = grid_file::read(&run.join("grid.toml")).is_ok_and(|text| text == sweep.text);
        // A file that is missing or unreadable may come back.
        if (!is_same || sweep.place.lost().is_some())
            && let Ok(new) = Sweep::open(run)
        {
            apps.send_replace(new.app());
            sweep = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_without_a_sweep_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |run: &Path| {
            Sweep::open(run).err().map(|error| format!("{error:#}")).unwrap_or_default()
        };
        assert!(
            refused(dir.path()).contains("is not there\nhint: name the run directory"),
            "{}",
            refused(dir.path())
        );
        drop(swfn_store::Store::open(&dir.path().join("sweep.sqlite")).unwrap());
        assert!(refused(dir.path()).contains("lacks its grid\nhint: "), "{}", refused(dir.path()));
        assert!(token(dir.path()).unwrap_err().to_string().contains("--token-file"));
    }
}
