//! The state that answers are made from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use swfn_report::palette;
use swfn_shared::{
    grid::Grid,
    snapshot::Snapshot,
    treatment::Names,
    trial::{Architecture, TrialSpec},
};
use swfn_store::{Reader, run_dir::RunFiles};
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::{
    axes::{Axes, Axis},
    commands::Commander,
    metrics,
    summary::LiveSummary,
};

/// The facts that do not change while the sweep runs.
#[derive(Debug, Serialize)]
pub(crate) struct SweepNames {
    sweep: String,
    dataset: String,
    run_dir: String,
    architectures: Vec<Architecture>,
    subset_sizes: BTreeSet<u32>,
    /// The axes in which trials differ.
    axes: Vec<Axis>,
    /// The names of the regularisers' colours in `/colours.css`.
    colours: BTreeMap<String, String>,
}

/// Counts the requests that wait for the engine, and those that can.
pub type Queue = Box<dyn Fn() -> (usize, usize) + Send + Sync>;

/// Counts those of a channel, without keeping it open: its engine stops with the last sender.
pub fn queue<T: Send + 'static>(requests: &mpsc::Sender<T>) -> Queue {
    let requests = requests.downgrade();
    let waiting = |sender: mpsc::Sender<T>| {
        (sender.max_capacity() - sender.capacity(), sender.max_capacity())
    };
    Box::new(move || requests.upgrade().map_or((0, 0), waiting))
}

/// The names of the report's colours, by the short names of regularisers in this sweep.
fn colours(specs: &[TrialSpec]) -> BTreeMap<String, String> {
    let variables = palette::variables(specs.iter().map(TrialSpec::regulariser));
    let names = Names::among(variables.iter().map(|(regulariser, _)| *regulariser));
    let name = |(regulariser, variable)| (names.regulariser(regulariser), variable);
    variables.into_iter().map(name).collect()
}

pub struct App {
    pub(super) names: SweepNames,
    pub(super) axes: Axes,
    pub(super) place: RunFiles,
    pub(super) snapshots: watch::Receiver<Snapshot>,
    /// `None` where only files are known.
    pub(super) queue: Option<Queue>,
    pub(super) reader: Reader,
    pub(super) summary: LiveSummary,
    pub(super) prometheus: Option<PrometheusHandle>,
    /// Brings commands to the engine, if people may send them.
    pub commander: Option<Commander>,
}

impl App {
    /// Makes the state for a sweep; with a queue if this process runs its engine.
    pub fn new(
        grid: Arc<Grid>,
        place: &RunFiles,
        specs: &[TrialSpec],
        snapshots: watch::Receiver<Snapshot>,
        queue: Option<Queue>,
        reader: Reader,
    ) -> Self {
        let axes = Axes::of(specs);
        let used = |known: &Architecture| specs.iter().any(|spec| spec.architecture == *known);
        Self {
            names: SweepNames {
                sweep: grid.name.clone(),
                dataset: specs.first().map_or_else(String::new, |spec| spec.dataset.name().into()),
                run_dir: place.path.display().to_string(),
                architectures: Architecture::ALL.iter().copied().filter(used).collect(),
                subset_sizes: specs.iter().map(|spec| spec.subset_size).collect(),
                axes: axes.shown(),
                colours: colours(specs),
            },
            axes,
            place: place.clone(),
            snapshots,
            prometheus: queue.as_ref().and_then(|_| metrics::install()),
            queue,
            reader,
            summary: LiveSummary::new(grid, specs),
            commander: None,
        }
    }

    /// Makes the answer ahead of the first request for it.
    pub async fn warm(&self) {
        if let Err(error) = self.summary.get(&self.reader).await {
            debug!("the answer cannot be made yet: {error}");
        }
    }

    /// A copy, so that no answer locks the watch while it is made.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.snapshots.borrow().clone()
    }

    /// When one of these files of the run directory was last written, in seconds since 1970.
    pub(super) fn written(&self, names: &[&str]) -> Option<f64> {
        let time = |name: &&str| {
            self.place.path.join(name).metadata().and_then(|file| file.modified()).ok()
        };
        let newest: SystemTime = names.iter().filter_map(time).max()?;
        newest.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
    }
}
