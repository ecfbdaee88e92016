//! How fast devices have been: measured at the end of each sweep, kept in the cache folder, used by `--dry-run`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::Write as _,
    path::PathBuf,
    thread::available_parallelism,
};

use serde::{Deserialize, Serialize};
use swfn_shared::{folders, ids::TrialId, trial::TrialSpec, work};
use swfn_store::{LeaseSpan, Store, TrialRow, covered, run_dir::replace};
use tracing::warn;

use crate::arguments::LocalWorkers;

/// The file in the cache folder.
const FILE: &str = "rates.json";

/// Seconds of work from which on a speed means something.
const LEAST_SECONDS: f64 = 2.0;

/// Speeds by the parts of the work: training of an architecture, its evaluations, `vae`, and `all` of it.
type Speeds = BTreeMap<String, f64>;

const VAE: &str = "vae";
const ALL: &str = "all";

/// The part that evaluations of an architecture are: they go another way than training, at another speed.
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
    /// Devices of that kind that have been seen; on a CPU each process drives the same one.
    devices: usize,
    /// Operations per second of one worker.
    speeds: Speeds,
}

/// Seconds that trials of one kind of device took, and what they came to.
#[derive(Debug, Default)]
struct Measured {
    devices: BTreeSet<String>,
    workers: BTreeSet<String>,
    /// Operations and seconds of each part.
    parts: BTreeMap<String, (f64, f64)>,
    /// By architecture.
    fits: BTreeMap<String, Fit>,
}

/// Least squares for the time of an operation in training and in evaluations, from trials that have both and tell one number of seconds.
#[derive(Debug, Default)]
struct Fit {
    training_squared: f64,
    mixed: f64,
    evaluations_squared: f64,
    training_seconds: f64,
    evaluation_seconds: f64,
}

impl Fit {
    fn add(&mut self, training: f64, evaluations: f64, seconds: f64) {
        self.training_squared += training * training;
        self.mixed += training * evaluations;
        self.evaluations_squared += evaluations * evaluations;
        self.training_seconds += training * seconds;
        self.evaluation_seconds += evaluations * seconds;
    }

    /// Seconds of an operation of each, unless the trials are too much alike to tell.
    fn solve(&self) -> Option<[f64; 2]> {
        /// Below that, the two are as good as in one proportion in all trials.
        const LEAST: f64 = 0.02;
        /// Neither is as much faster than the other.
        const PLAUSIBLE: std::ops::Range<f64> = 0.1..10.0;
        let product = self.training_squared * self.evaluations_squared;
        let determinant = product - self.mixed * self.mixed;
        if determinant < LEAST * product {
            return None;
        }
        let training =
            self.training_seconds * self.evaluations_squared - self.evaluation_seconds * self.mixed;
        let evaluation =
            self.evaluation_seconds * self.training_squared - self.training_seconds * self.mixed;
        (training > 0.0 && PLAUSIBLE.contains(&(evaluation / training)))
            .then(|| [training / determinant, evaluation / determinant])
    }
}

impl Measured {
    fn add(&mut self, part: &str, operations: f64, seconds: f64) {
        for part in [part, ALL] {
            let (all, time) = self.parts.entry(part.to_owned()).or_default();
            (*all, *time) = (*all + operations, *time + seconds);
        }
    }

    /// Operations per second. Trials side by side share their seconds, and a device waits and loads in between: what counts is the
    /// time for which its workers held work.
    fn speeds(&self, busy: &BTreeMap<&str, f64>) -> Speeds {
        let held: f64 = self.workers.iter().filter_map(|worker| busy.get(worker.as_str())).sum();
        let reported = self.parts.get(ALL).map_or(0.0, |(_, seconds)| *seconds);
        // Attempts that failed held devices, too, and are no part of the speed.
        let share = (held / reported).min(MOST_OVERHEAD);
        let mut speeds = Speeds::new();
        for (part, (operations, seconds)) in &self.parts {
            let seconds = seconds * share;
            if seconds < LEAST_SECONDS {
                continue;
            }
            let one = operations / seconds;
            speeds.insert(part.clone(), one);
            if let Some(fit) = self.fits.get(part) {
                let [training, evaluation] =
                    fit.solve().map_or([one; 2], |times| times.map(|time| 1.0 / (time * share)));
                speeds.insert(part.clone(), training);
                speeds.insert(evaluations_of(part), evaluation);
            }
        }
        speeds
    }
}

/// Time that a device holds work over the time of its trials, at most.
const MOST_OVERHEAD: f64 = 1.25;

/// What the trials of a sweep tell of the devices that trained them.
pub(crate) fn measure(specs: &[TrialSpec], rows: &[TrialRow], spans: &[LeaseSpan]) -> Vec<Rate> {
    let specs: HashMap<TrialId, &TrialSpec> = specs.iter().map(|spec| (spec.id(), spec)).collect();
    let mut of_worker: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for span in spans {
        of_worker.entry(&span.worker).or_default().push((span.from, span.to));
    }
    let busy = of_worker.into_iter().map(|(worker, spans)| (worker, covered(spans))).collect();
    let mut kinds: BTreeMap<[String; 3], Measured> = BTreeMap::new();
    for row in rows {
        let (Some(outcome), Some(worker), Some(spec)) =
            (&row.outcome, &row.worker, specs.get(&row.id))
        else {
            continue;
        };
        let kind = worker.device.split(':').next().unwrap_or_default();
        let measured =
            kinds.entry([worker.host.clone(), kind.to_owned(), worker.model.clone()]).or_default();
        measured.devices.insert(worker.device.clone());
        measured.workers.insert(worker.id.to_string());
        let (all, evaluations) = (work::classifier_flop(spec), work::evaluation_flop(spec));
        let name = spec.architecture.name();
        measured.add(name, all, outcome.classifier_seconds);
        let fit = measured.fits.entry(name.to_owned()).or_default();
        fit.add(all - evaluations, evaluations, outcome.classifier_seconds);
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

/// Keeps what a sweep tells. That it cannot is no reason to end a sweep with an error.
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
        let same = |known: &&mut Rate| {
            (&known.host, &known.kind, &known.model) == (&rate.host, &rate.kind, &rate.model)
        };
        match old.iter_mut().find(same) {
            Some(known) => {
                known.devices = known.devices.max(rate.devices);
                known.speeds.extend(rate.speeds);
            }
            None => old.push(rate),
        }
    }
    old
}

/// What is known of devices; nothing if nothing was measured yet.
pub(crate) fn load() -> Vec<Rate> {
    let path: Option<PathBuf> = folders::cache().map(|folder| folder.join(FILE));
    let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The speed of the devices that local workers would take on this machine: GPUs if it has any.
pub(crate) fn here(rates: &[Rate]) -> Option<&Rate> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    rates.iter().filter(|rate| *rate.host == *host).max_by_key(|rate| rate.kind != "cpu")
}

impl Rate {
    /// Operations per second in training of a trial, in its evaluations and in its VAE.
    pub(crate) fn speeds(&self, spec: &TrialSpec) -> [f64; 3] {
        let all = self.speeds.get(ALL).copied().unwrap_or(f64::NAN);
        let speed = |part: &str| self.speeds.get(part).copied();
        let name = spec.architecture.name();
        let training = speed(name).unwrap_or(all);
        [training, speed(&evaluations_of(name)).unwrap_or(training), speed(VAE).unwrap_or(all)]
    }

    /// How many workers work at a time: no more than there are cores or GPUs.
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

/// A made-up rate of this machine's CPU.
#[cfg(test)]
pub(crate) fn sample(speeds: &[(&str, f64)]) -> Rate {
    let speeds = speeds.iter().map(|(part, speed)| ((*part).to_owned(), *speed)).collect();
    Rate { host: "h".to_owned(), kind: "cpu".to_owned(), model: "m".to_owned(), devices: 1, speeds }
}

#[cfg(test)]
mod tests {
    use swfn_shared::ids::LeaseId;
    use swfn_store::samples::{batch, leased, specs};

    use super::{sample as rate, *};
    use crate::amount::Work;

    #[test]
    fn the_estimate_of_what_was_measured_is_what_it_took() {
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
        // Nobody trained a VAE there, so its time is reckoned by the speed of the rest.
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
    fn training_and_evaluations_are_told_apart_where_trials_differ_in_them() {
        let mut fit = Fit::default();
        for (training, evaluations) in [(1.0, 2.0), (3.0, 2.0), (3.0, 2.0)] {
            fit.add(training, evaluations, 0.5 * training + 2.0 * evaluations);
        }
        let [training, evaluation] = fit.solve().unwrap();
        assert!(
            (training - 0.5).abs() < 1e-9 && (evaluation - 2.0).abs() < 1e-9,
            "{training} {evaluation}"
        );
        let mut alike = Fit::default();
        (0..5).for_each(|_| alike.add(3.0, 2.0, 1.0));
        assert_eq!((alike.solve(), Fit::default().solve()), (None, None));
    }

    #[test]
    fn new_speeds_replace_those_of_the_same_part() {
        let old = vec![rate(&[("net", 1.0), ("all", 1.0)])];
        let other = Rate { host: "other".to_owned(), ..rate(&[("all", 9.0)]) };
        let all = merged(old, vec![rate(&[("lenet", 2.0), ("all", 3.0)]), other.clone()]);
        assert_eq!(all, [rate(&[("net", 1.0), ("lenet", 2.0), ("all", 3.0)]), other]);
        assert_eq!(here(&all), None, "of this machine nothing is known");
    }

    #[test]
    fn more_workers_than_cores_are_no_faster() {
        let rate = rate(&[("all", 1.0)]);
        let cores = rate.workers(Some(LocalWorkers::Auto));
        assert_eq!(rate.workers(None), 1);
        assert_eq!(rate.workers(Some(LocalWorkers::Count(1))), 1);
        assert_eq!(rate.workers(Some(LocalWorkers::Count(u32::MAX))), cores);
    }
}
