//! The speeds of devices: measured at the end of each sweep, kept in the cache folder, used by
//! `--dry-run`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::Write as _,
    thread::available_parallelism,
};

use serde::{Deserialize, Serialize};
use swfn_shared::{folders, ids::TrialId, trial::TrialSpec, work};
use swfn_store::{LeaseSpan, Store, TrialRow, covered, run_dir::replace};
use tracing::warn;

use crate::arguments::LocalWorkers;

const FILE: &str = "rates.json";

/// Least seconds of work for a meaningful speed.
const LEAST_SECONDS: f64 = 2.0;

/// Most time for which a device holds trials, over the time that the trials report.
const MOST_OVERHEAD: f64 = 1.25;

/// Speeds by part of the work: training of an architecture, its evaluations, `vae`, and `all`.
type Speeds = BTreeMap<String, f64>;

const VAE: &str = "vae";
const ALL: &str = "all";

/// The part for evaluations of an architecture, whose speed differs from that of training.
fn evaluations_of(architecture: &str) -> String {
    format!("{architecture}, evaluations")
}

/// The speed of one kind of device of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rate {
    host: String,
    /// `cpu` or `cuda`.
    kind: String,
    pub(crate) model: String,
    /// Devices of that kind; all processes of a CPU share one.
    devices: usize,
    /// Operations per second of one worker.
    speeds: Speeds,
}

/// The work and time of trials of one kind of device.
#[derive(Debug, Default)]
struct Measured {
    devices: BTreeSet<String>,
    workers: BTreeSet<String>,
    /// Operations and seconds of each part.
    parts: BTreeMap<String, (f64, f64)>,
    /// Operations in training and in evaluations, and seconds, of each trial, by architecture.
    classifiers: BTreeMap<String, Vec<[f64; 3]>>,
}

/// Seconds of an operation in training and in evaluations, by least squares over trials: each has
/// both, and reports one number of seconds. `None` if the trials are too similar.
fn solve(trials: &[[f64; 3]]) -> Option<[f64; 2]> {
    /// Least relative determinant: below it, all trials have about the same proportion.
    const LEAST: f64 = 0.02;
    /// Plausible times of an evaluation's operation over one of training.
    const PLAUSIBLE: std::ops::Range<f64> = 0.1..10.0;
    let sum = |product: fn(&[f64; 3]) -> f64| trials.iter().map(product).sum::<f64>();
    let training_squared = sum(|[training, ..]| training * training);
    let mixed = sum(|[training, evaluations, _]| training * evaluations);
    let evaluations_squared = sum(|[_, evaluations, _]| evaluations * evaluations);
    let training_seconds = sum(|[training, _, seconds]| training * seconds);
    let evaluation_seconds = sum(|[_, evaluations, seconds]| evaluations * seconds);
    let product = training_squared * evaluations_squared;
    let determinant = product - mixed * mixed;
    if determinant < LEAST * product {
        return None;
    }
    let training = training_seconds * evaluations_squared - evaluation_seconds * mixed;
    let evaluation = evaluation_seconds * training_squared - training_seconds * mixed;
    (training > 0.0 && PLAUSIBLE.contains(&(evaluation / training)))
        .then(|| [training / determinant, evaluation / determinant])
}

impl Measured {
    fn add(&mut self, part: &str, operations: f64, seconds: f64) {
        for part in [part, ALL] {
            let (all, time) = self.parts.entry(part.to_owned()).or_default();
            (*all, *time) = (*all + operations, *time + seconds);
        }
    }

    /// Operations per second. Lanes share their seconds, and a device waits and loads in between,
    /// so the time counts for which the workers held leases.
    fn speeds(&self, busy: &HashMap<&str, f64>) -> Speeds {
        let held: f64 = self.workers.iter().filter_map(|worker| busy.get(worker.as_str())).sum();
        let reported = self.parts.get(ALL).map_or(0.0, |(_, seconds)| *seconds);
        // Failed attempts held devices, too, and are no part of the speed.
        let share = (held / reported).min(MOST_OVERHEAD);
        let mut speeds = Speeds::new();
        for (part, (operations, seconds)) in &self.parts {
            let seconds = seconds * share;
            if seconds < LEAST_SECONDS {
                continue;
            }
            let mean = operations / seconds;
            let Some(trials) = self.classifiers.get(part) else {
                speeds.insert(part.clone(), mean);
                continue;
            };
            let [training, evaluation] =
                solve(trials).map_or([mean; 2], |times| times.map(|time| 1.0 / (time * share)));
            speeds.insert(part.clone(), training);
            speeds.insert(evaluations_of(part), evaluation);
        }
        speeds
    }
}

/// The speeds of the devices that trained a sweep.
fn measure(specs: &[TrialSpec], rows: &[TrialRow], spans: &[LeaseSpan]) -> Vec<Rate> {
    let specs: HashMap<TrialId, &TrialSpec> = specs.iter().map(|spec| (spec.id(), spec)).collect();
    let mut leases: HashMap<&str, Vec<(f64, f64)>> = HashMap::new();
    for span in spans {
        leases.entry(&span.worker).or_default().push((span.from, span.to));
    }
    let busy = leases.into_iter().map(|(worker, spans)| (worker, covered(spans))).collect();
    let mut kinds: BTreeMap<[String; 3], Measured> = BTreeMap::new();
    for row in rows {
        let (Some(outcome), Some(worker), Some(spec)) =
            (&row.outcome, &row.worker, specs.get(&row.id))
        else {
            continue;
        };
        let kind = worker.device.split(':').next().unwrap_or_default().to_owned();
        let measured = kinds.entry([worker.host.clone(), kind, worker.model.clone()]).or_default();
        measured.devices.insert(worker.device.clone());
        measured.workers.insert(worker.id.to_string());
        let (all, evaluations) = (work::classifier_flop(spec), work::evaluation_flop(spec));
        let name = spec.architecture.name();
        measured.add(name, all, outcome.classifier_seconds);
        let trials = measured.classifiers.entry(name.to_owned()).or_default();
        trials.push([all - evaluations, evaluations, outcome.classifier_seconds]);
        if outcome.vae_seconds > 0.0 {
            measured.add(VAE, work::vae_flop(spec), outcome.vae_seconds);
        }
    }
    let rate = |([host, kind, model], measured): ([String; 3], Measured)| {
        let speeds = measured.speeds(&busy);
        Rate { host, kind, model, devices: measured.devices.len(), speeds }
    };
    kinds.into_iter().map(rate).filter(|rate| rate.speeds.contains_key(ALL)).collect()
}

/// Keeps the speeds of a sweep. If that fails, it logs a warning.
pub(crate) fn keep(specs: &[TrialSpec], store: &Store) {
    let write = || -> anyhow::Result<()> {
        let Some(folder) = folders::cache() else { return Ok(()) };
        let new = measure(specs, &store.trials()?, &store.lease_spans()?);
        if new.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&merged(load(), new))?;
        fs::create_dir_all(&folder)?;
        replace(&folder, FILE, |file| Ok(file.write_all(text.as_bytes())?))
    };
    if let Err(error) = write() {
        warn!("the speed of this sweep is not kept for later estimates: {error:#}");
    }
}

/// The newest speed of each part counts.
fn merged(mut old: Vec<Rate>, new: Vec<Rate>) -> Vec<Rate> {
    for rate in new {
        let is_same = |known: &&mut Rate| {
            (&known.host, &known.kind, &known.model) == (&rate.host, &rate.kind, &rate.model)
        };
        match old.iter_mut().find(is_same) {
            Some(known) => {
                known.devices = known.devices.max(rate.devices);
                known.speeds.extend(rate.speeds);
            }
            None => old.push(rate),
        }
    }
    old
}

/// The speeds that earlier sweeps have kept.
pub(crate) fn load() -> Vec<Rate> {
    let path = folders::cache().map(|folder| folder.join(FILE));
    let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The speed of the devices that local workers would take on this machine: GPUs if it has any.
pub(crate) fn here(rates: &[Rate]) -> Option<&Rate> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    rates.iter().filter(|rate| *rate.host == *host).max_by_key(|rate| rate.kind != "cpu")
}

impl Rate {
    /// Operations per second in a trial's training, in its evaluations and in its VAE.
    pub(crate) fn speeds(&self, spec: &TrialSpec) -> [f64; 3] {
        let speed = |part: &str| self.speeds.get(part).copied();
        let (all, name) = (speed(ALL).unwrap_or(f64::NAN), spec.architecture.name());
        let training = speed(name).unwrap_or(all);
        [training, speed(&evaluations_of(name)).unwrap_or(training), speed(VAE).unwrap_or(all)]
    }

    /// The number of workers that can work at a time: at most one per core or GPU.
    pub(crate) fn workers(&self, wanted: Option<LocalWorkers>) -> usize {
        let cores = available_parallelism().map_or(1, usize::from);
        let most = if self.kind == "cpu" { cores } else { self.devices };
        match wanted {
            None => 1,
            Some(LocalWorkers::Auto) => most,
            Some(LocalWorkers::Count(count)) => most.min(count as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use swfn_shared::ids::LeaseId;
    use swfn_store::samples::{batch, leased, specs};

    use super::*;
    use crate::amount::Work;

    /// A made-up rate of this machine's CPU.
    fn sample(speeds: &[(&str, f64)]) -> Rate {
        let speeds = speeds.iter().map(|(part, speed)| ((*part).to_owned(), *speed)).collect();
        Rate {
            host: "h".to_owned(),
            kind: "cpu".to_owned(),
            model: "m".to_owned(),
            devices: 1,
            speeds,
        }
    }

    #[test]
    fn estimates_fit_the_measured_time() {
        let dir = tempfile::tempdir().unwrap();
        let specs = specs(2);
        let mut store = Store::open(&dir.path().join("sweep.sqlite")).unwrap();
        store.set_trials(&specs).unwrap();
        for (number, spec) in specs.iter().enumerate() {
            let lease = LeaseId { trial: spec.id(), attempt: 1 };
            // The worker holds the next trial while it trains one.
            store.write(f64::from(number as u32) * 2.0, &leased(lease)).unwrap();
        }
        for (number, spec) in specs.iter().enumerate() {
            let lease = LeaseId { trial: spec.id(), attempt: 1 };
            store.write(6.0 + f64::from(number as u32), &batch(lease, 0.5)).unwrap();
        }
        let rates = measure(&specs, &store.trials().unwrap(), &store.lease_spans().unwrap());
        let [rate] = &rates[..] else { panic!("{rates:?}") };
        // Without a trained VAE, the speed of the rest counts for it.
        let classifiers: f64 = specs.iter().map(work::classifier_flop).sum();
        let vaes = 2.0 * work::vae_flop(&specs[1]);
        let expected = 9.0 * (classifiers + vaes) / classifiers;
        assert!((Work::of(&specs, Some(rate)).total() - expected).abs() < 1e-6, "{rate:?}");
        let parts: Vec<_> = rate.speeds.keys().map(String::as_str).collect();
        assert_eq!(
            (rate.kind.as_str(), rate.model.as_str(), parts),
            ("cpu", "m", vec!["all", "net", "net, evaluations"])
        );
    }

    #[test]
    fn trials_that_differ_separate_training_from_evaluations() {
        let trials = [[1.0, 2.0], [3.0, 2.0], [3.0, 2.0]].map(|[training, evaluations]| {
            [training, evaluations, 0.5 * training + 2.0 * evaluations]
        });
        let [training, evaluation] = solve(&trials).unwrap();
        assert!(
            (training - 0.5).abs() < 1e-9 && (evaluation - 2.0).abs() < 1e-9,
            "{training} {evaluation}"
        );
        assert_eq!((solve(&[[3.0, 2.0, 1.0]; 5]), solve(&[])), (None, None));
    }

    #[test]
    fn new_speeds_replace_old_ones() {
        let old = vec![sample(&[("net", 1.0), ("all", 1.0)])];
        let other = Rate { host: "other".to_owned(), ..sample(&[("all", 9.0)]) };
        let all = merged(old, vec![sample(&[("lenet", 2.0), ("all", 3.0)]), other.clone()]);
        assert_eq!(all, [sample(&[("net", 1.0), ("lenet", 2.0), ("all", 3.0)]), other]);
        assert_eq!(here(&all), None, "this machine is not known");
    }

    #[test]
    fn more_workers_than_cores_are_no_faster() {
        let rate = sample(&[("all", 1.0)]);
        let cores = rate.workers(Some(LocalWorkers::Auto));
        assert_eq!(rate.workers(None), 1);
        assert_eq!(rate.workers(Some(LocalWorkers::Count(1))), 1);
        assert_eq!(rate.workers(Some(LocalWorkers::Count(u32::MAX))), cores);
    }
}
