//! The time of training by the number of lanes: a table for people, JSON lines for programs.
//!
//! The time is measured between two reports of training losses, which wait for the device. So it
//! excludes evaluations and the assembly of lanes. SWFN_GPU_BENCH_LANES names other numbers of
//! lanes (`1,2,4`), and SWFN_GPU_BENCH_OUT a file to which lines are appended.

use std::{
    cell::RefCell, collections::VecDeque, fs, io::Write as _, ops::ControlFlow, rc::Rc,
    time::Instant,
};

use swfn_shared::{
    artifacts::{Artifact, Artifacts},
    capacity::Capacity,
    ids::ShapeId,
    metrics::{MetricPoint, TRAIN_LOSS, VAE_LOSS},
    trial::{Architecture, Precision, TrialSpec},
};
use swfn_worker::{
    device,
    train::{
        jobs::{Job, Jobs},
        trainer::Trainer,
    },
    trial::report::{Observer, Outcome, Stop, TrainError},
};
use tracing::Span;

use super::backend;
use crate::common::{spec, trainer};

/// Reports of a hundred iterations each, the first of which is not timed.
const REPORTS: u32 = 4;

/// Metrics and steps of the first trial's reports, with their times.
type Times = Rc<RefCell<Vec<(&'static str, u64, Instant)>>>;

/// Trials that are there from the start, the first of which is timed.
struct Timed {
    waiting: VecDeque<TrialSpec>,
    tickets: u64,
    times: Times,
    failed: Rc<RefCell<Option<String>>>,
}

struct Watch(Option<Times>);

impl Observer for Watch {
    fn points(&mut self, _: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
        if let Some(times) = &self.0 {
            times
                .borrow_mut()
                .extend(points.iter().map(|point| (point.metric, point.step, Instant::now())));
        }
        ControlFlow::Continue(())
    }
}

impl<'o> Jobs<'o> for Timed {
    fn room(&mut self, _: Capacity) {}

    fn next(&mut self, _: Option<ShapeId>) -> Option<Job<'o>> {
        let spec = self.waiting.pop_front()?;
        let ticket = self.tickets;
        self.tickets += 1;
        let observer = Box::new(Watch((ticket == 0).then(|| Rc::clone(&self.times))));
        Some(Job { ticket, spec, wanted: Artifacts::default(), observer, span: Span::none() })
    }

    fn ended(&mut self, _: u64, result: Result<(Outcome, Vec<Artifact>), TrainError>) {
        if let Err(error) = result {
            self.failed.borrow_mut().get_or_insert(error.to_string());
        }
    }
}

/// Iterations per second of one lane, of the classifier and of the VAE; none where memory ended.
fn rates(trainer: &mut Trainer, trial: &TrialSpec, lanes: usize) -> Result<(f64, f64), String> {
    let (times, failed) = (Times::default(), Rc::default());
    let waiting = (0..lanes as u64).map(|lane| TrialSpec { seed: lane + 1, ..*trial }).collect();
    trainer.run_all(&mut Timed {
        waiting,
        tickets: 0,
        times: Rc::clone(&times),
        failed: Rc::clone(&failed),
    });
    if let Some(error) = failed.borrow().as_ref() {
        return Err(error.clone());
    }
    let rate = |metric: &str| {
        let times = times.borrow();
        let of_metric: Vec<_> = times.iter().filter(|(known, _, _)| *known == metric).collect();
        let ([(_, first, from), .., (_, last, to)], true) =
            (of_metric.as_slice(), of_metric.is_sorted_by_key(|(_, step, _)| *step))
        else {
            return Err("memory ended, and trials went on with fewer lanes".to_owned());
        };
        Ok((last - first) as f64 / (*to - *from).as_secs_f64())
    };
    Ok((rate(TRAIN_LOSS)?, rate(VAE_LOSS)?))
}

/// A trial of published sizes that is long enough to be timed.
fn timed(architecture: Architecture, samples: u32, precision: Precision) -> TrialSpec {
    let mut trial = spec(architecture, 0.1);
    trial.subset_size = 300;
    trial.classifier.iterations = 100 * REPORTS;
    trial.classifier.evaluate_every = 100 * REPORTS;
    trial.classifier.precision = precision;
    let penalty = trial.penalty.as_mut().unwrap();
    penalty.samples = samples;
    let vae = &mut penalty.vae.as_mut().unwrap().vae;
    (vae.iterations, vae.batch_size, vae.hidden, vae.latent) = (100 * REPORTS, 20, 128, 100);
    trial
}

#[test]
#[ignore = "prints timings of a GPU: deploy/gpu-check.sh"]
fn bench_iterations_by_lanes() {
    let backend = backend();
    let lanes = std::env::var("SWFN_GPU_BENCH_LANES")
        .unwrap_or_else(|_| "1,2,4,8,16,32,64,128,256".to_owned());
    let lanes: Vec<usize> = lanes.split(',').map(|lanes| lanes.trim().parse().unwrap()).collect();
    let mut out = std::env::var_os("SWFN_GPU_BENCH_OUT")
        .map(|path| fs::File::options().create(true).append(true).open(path).unwrap());
    let model = device::describe(backend.device).model;
    println!(
        "{} ({model}), iterations x lanes per second, with function norm",
        device::name(backend.device)
    );
    let cases = [
        (Architecture::LENET, 20, Precision::Float32),
        (Architecture::LENET, 100, Precision::Float32),
        (Architecture::LENET, 20, Precision::Tf32),
        (Architecture::NET, 20, Precision::Float32),
        (Architecture::NET_DROPOUT, 20, Precision::Float32),
        (Architecture::LENET_BN, 20, Precision::Float32),
    ];
    for (architecture, samples, precision) in cases {
        println!("{architecture}, {samples} samples, {}:", precision.name());
        let mut alone = None;
        for &lanes in &lanes {
            // A trainer of its own, so that no VAE is found ready.
            let (classifier, vae) = match rates(
                &mut trainer(backend, lanes),
                &timed(architecture, samples, precision),
                lanes,
            ) {
                Ok(rates) => rates,
                Err(error) => {
                    println!("  {lanes:4} lanes: {error}");
                    break;
                }
            };
            let (all, of_vaes) = (classifier * lanes as f64, vae * lanes as f64);
            let first = *alone.get_or_insert(all);
            println!(
                "  {lanes:4} lanes: {classifier:8.0} steps/s, {all:9.0} in all lanes, {:6.1} times the first; VAE {of_vaes:9.0}",
                all / first
            );
            let line = serde_json::json!({
                "device": model, "architecture": architecture.name(), "samples": samples, "precision": precision.name(),
                "lanes": lanes, "iterations_per_second": all, "vae_iterations_per_second": of_vaes,
                "over_first": all / first,
            });
            if let Some(out) = &mut out {
                writeln!(out, "{line}").unwrap();
            }
        }
    }
}
