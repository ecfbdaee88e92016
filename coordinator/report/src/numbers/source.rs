//! The sources of a report: one or several run directories, whose trials are united by their ids.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

use anyhow::{bail, ensure};
use swfn_shared::{
    grid::Grid,
    ids::{CellId, TrialId},
    problem,
    problem::OrProblem as _,
    trial::TrialSpec,
};
use swfn_store::{
    Chosen, CurveRow, CurveSums, MeanPoint, Store, TrialRow,
    grid_file::{self, Earlier},
};

use super::{cell::Cell, cost::Cost};

/// Thinned curves of cells.
pub(crate) type Curves = HashMap<CellId, Vec<MeanPoint>>;

/// A run directory, its grid and its store.
pub struct Run {
    pub path: PathBuf,
    /// The run's name in the report.
    pub name: String,
    pub grid: Grid,
    /// The text of the grid file of the last run.
    pub text: String,
    pub store: Store,
}

impl Run {
    /// Reads a grid file that is older than the key `epochs` as it was meant then, if its trials
    /// agree.
    fn read_as_before_epochs(&mut self, rows: &HashMap<TrialId, TrialRow>) {
        let has_trials = |grid: &Grid| grid.trials().any(|spec| rows.contains_key(&spec.id()));
        if rows.is_empty() || has_trials(&self.grid) {
            return;
        }
        if let Ok(older) = Grid::parse_before_epochs("grid.toml", &self.text, u64::MAX)
            && has_trials(&older)
        {
            self.grid = older;
        }
    }
}

/// All runs of a report, and their trials.
pub struct Sources {
    pub(crate) runs: Vec<Run>,
    /// Each trial once, in the order of the grids.
    pub(crate) trials: Vec<(TrialSpec, TrialRow)>,
    /// The run that each trial's row is from.
    owners: HashMap<TrialId, usize>,
    pub(crate) repeated: Repeated,
}

impl Sources {
    pub fn new(mut runs: Vec<Run>) -> anyhow::Result<Self> {
        let mut trials: Vec<(TrialSpec, TrialRow)> = Vec::new();
        let mut indices: HashMap<TrialId, usize> = HashMap::new();
        let mut owners = HashMap::new();
        let mut repeated = Repeated::default();
        for (number, run) in runs.iter_mut().enumerate() {
            let mut rows: HashMap<_, _> =
                run.store.trials()?.into_iter().map(|row| (row.id, row)).collect();
            run.read_as_before_epochs(&rows);
            let known = rows.len();
            let before = trials.len();
            for spec in run.grid.trials() {
                let Some(row) = rows.remove(&spec.id()) else { continue };
                match indices.get(&row.id) {
                    None => {
                        indices.insert(row.id, trials.len());
                        owners.insert(row.id, number);
                        trials.push((spec, row));
                    }
                    Some(index) => {
                        let other = &mut trials[*index].1;
                        repeated.count(other, &row);
                        // The first result counts.
                        if other.outcome.is_none() && row.outcome.is_some() {
                            owners.insert(row.id, number);
                            *other = row;
                        }
                    }
                }
            }
            ensure!(
                known == 0 || trials.len() > before || rows.len() < known,
                problem!(
                    "the trials in `{}` are not those of its grid.toml", run.name;
                    "another version of this program made them: make the report with that one, or \
                     run the sweep again with this one"
                )
            );
        }
        Ok(Self { runs, trials, owners, repeated })
    }

    /// Mean curves of a metric for these cells.
    pub(crate) fn curves<'c>(
        &self,
        metric: &str,
        cells: impl Iterator<Item = &'c Cell>,
    ) -> anyhow::Result<Curves> {
        let mut wanted: BTreeMap<usize, Vec<TrialId>> = BTreeMap::new();
        for cell in cells {
            for trial in &cell.trials {
                wanted.entry(self.owners[trial]).or_default().push(*trial);
            }
        }
        let stores = || wanted.iter().map(|(run, trials)| (&self.runs[*run].store, trials));
        let mut last = 0;
        for (store, trials) in stores() {
            last = store.last_step(metric, trials)?.max(last);
        }
        let mut sums = CurveSums::default();
        for (store, trials) in stores() {
            store.add_curves(metric, trials, last, &mut sums)?;
        }
        Ok(sums.curves())
    }

    /// Calls `each` with the curve points of all trials that succeeded.
    pub fn points(
        &self,
        mut each: impl FnMut(CurveRow) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.runs.iter().enumerate().try_for_each(|(number, run)| {
            let each = |row: CurveRow| {
                if self.owners.get(&row.id) == Some(&number) { each(row) } else { Ok(()) }
            };
            run.store.curves(each)
        })
    }

    /// The cost of all runs.
    pub(crate) fn cost(&self) -> anyhow::Result<Cost> {
        let mut cost = Cost::default();
        for run in &self.runs {
            cost.add(&run.store.lease_spans()?);
        }
        Ok(cost)
    }

    /// The file of that name that a trial with a result left behind.
    pub fn artifact(&self, trial: TrialId, name: &str) -> Option<PathBuf> {
        let run = &self.runs[*self.owners.get(&trial)?];
        Some(run.path.join("artifacts").join(trial.to_string()).join(name))
            .filter(|path| path.is_file())
    }
}

/// Opens run directories to read them. Sweeps may be running in them.
pub(crate) fn open(paths: &[PathBuf]) -> anyhow::Result<Vec<Run>> {
    let mut seen = BTreeSet::new();
    let mut runs = Vec::new();
    for path in paths {
        // Counts would stay right, but this looks like a mistake.
        let place = path.canonicalize().unwrap_or_else(|_| path.clone());
        ensure!(
            seen.insert(place),
            problem!("`{}` is named twice", path.display(); "name each run directory once")
        );
        runs.push(open_with(path, &path.join("grid.toml"))?);
    }
    Ok(runs)
}

/// Opens a run directory once for each of its earlier grids. A trial belongs to the first grid that
/// has it.
pub(crate) fn open_grids(path: &Path, which: Option<Earlier>) -> anyhow::Result<Vec<Run>> {
    let mut seen = HashSet::new();
    let runs = grid_file::files(path, which)?.into_iter().map(|file| {
        let run = open_with(path, &file)?;
        let trials = run.grid.trials().map(|trial| trial.id()).filter(|id| seen.insert(*id));
        run.store.choose(&Chosen::Only(trials.collect()))?;
        Ok(Run { name: file.display().to_string(), ..run })
    });
    runs.collect()
}

/// Opens a run directory with a grid file.
fn open_with(path: &Path, file: &Path) -> anyhow::Result<Run> {
    let shown = path.display();
    let database = path.join("sweep.sqlite");
    if !database.is_file() {
        let problem =
            if path.is_dir() { "it has no sweep.sqlite" } else { "there is no such folder" };
        bail!(problem!(
            "`{shown}` is no run directory: {problem}";
            "name the folder that a sweep made, runs/NAME by default"
        ));
    }
    let store = Store::open_to_read(&database)?;
    let text = grid_file::read(file).or_problem(
        || problem!("`{shown}` lacks its grid"; "copy the grid file there, as grid.toml"),
    )?;
    // A grid that was run has no limit of trials.
    let grid = Grid::parse(&file.display().to_string(), &text, u64::MAX)?;
    Ok(Run { path: path.to_owned(), name: shown.to_string(), grid, text, store })
}

/// Trials with results in several runs.
#[derive(Default)]
pub(crate) struct Repeated {
    pub(crate) count: usize,
    pub(crate) differing: usize,
    /// The largest difference between accuracies after the last iteration.
    pub(crate) largest: f64,
}

impl Repeated {
    fn count(&mut self, one: &TrialRow, other: &TrialRow) {
        let (Some(one), Some(other)) = (&one.outcome, &other.outcome) else { return };
        self.count += 1;
        let difference = (one.final_test_accuracy - other.final_test_accuracy).abs();
        self.differing += usize::from(difference > 0.0);
        self.largest = self.largest.max(difference);
    }
}
