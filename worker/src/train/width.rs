//! The best number of lanes: one on a CPU; on a GPU as many as make it faster and fit. It is
//! measured once for each shape and model of GPU, and kept.

use std::{
    collections::HashMap,
    fs,
    ops::ControlFlow,
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use swfn_shared::{
    artifacts::Artifacts,
    ids::ShapeId,
    metrics::MetricPoint,
    trial::{TrialSpec, VaeSamples},
};
use tch::Device;
use tracing::{Span, debug, info, warn};

use super::{classifier::Classifiers, device_data::DeviceData, lane::Candidate};
use crate::{
    compute::Backend,
    device, store_file,
    trial::{
        border::guarded,
        report::{Observer, Reporter, Stop, TrainError},
    },
    vae::training,
};

/// Most lanes that the search tries.
const MOST: usize = 1024;

/// Least gain in iterations per second for which doubling the lanes is worth it.
const WORTH: f64 = 1.1;

/// Lanes that the search tries whatever it has found. Fewer cannot keep a GPU busy, so if doubling
/// them gains nothing, something else disturbed the measurement.
const ALWAYS: usize = 16;

/// Consecutive attempts without a gain that end the search.
const IN_VAIN: usize = 2;

/// Iterations of a round, of which the fastest counts.
const STEPS: usize = 10;
const ROUNDS: usize = 3;

/// The largest file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 12;

/// A stored number of lanes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredWidth {
    device_model: String,
    shape: String,
    lanes: usize,
    /// Its expiry in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

/// Time for which later processes know of a fault.
const FAULT: Duration = Duration::from_secs(3600);

/// The numbers of lanes for each shape.
#[derive(Debug)]
pub(super) struct Widths {
    device: Device,
    /// The number that the user set.
    fixed: Option<usize>,
    /// Numbers that were measured, or reduced after an error.
    known: HashMap<ShapeId, usize>,
    folder: Option<PathBuf>,
}

impl Widths {
    pub(super) fn new(device: Device, fixed: Option<usize>, folder: Option<PathBuf>) -> Self {
        Self { device, fixed, known: HashMap::new(), folder }
    }

    /// Number of trials to request while their shape is unknown.
    pub(super) fn unknown_shape(&self) -> usize {
        self.fixed.unwrap_or(1)
    }

    /// The number of lanes for trials of that shape, of which `spec` is one. It may measure.
    pub(super) fn find(
        &mut self,
        shape: ShapeId,
        spec: &TrialSpec,
        data: &Rc<DeviceData>,
        backend: Backend,
    ) -> Result<usize, TrainError> {
        let most = self.fixed.unwrap_or(usize::MAX);
        if let Some(known) = self.known.get(&shape) {
            return Ok(most.min(*known));
        }
        let lanes = match (self.fixed, self.device) {
            // A fault limits the number that the user set, too.
            (Some(fixed), _) => match self.read(shape) {
                Some(StoredWidth { lanes, until: Some(_), .. }) => lanes,
                _ => fixed,
            },
            (None, Device::Cpu) => 1,
            (None, _) => match self.read(shape) {
                Some(stored) => stored.lanes,
                None => {
                    let found = measure(spec, data, backend)?;
                    self.write(shape, found, None);
                    found
                }
            },
        };
        let lanes = lanes.min(most);
        self.known.insert(shape, lanes);
        Ok(lanes)
    }

    /// Limits the number of lanes from now on, in later processes too. The limit lasts for ever if
    /// memory ran out, and else for an hour, so that the trial whose fault it is ends up alone.
    pub(super) fn shrink(&mut self, shape: ShapeId, lanes: usize, error: &TrainError) {
        self.known.insert(shape, lanes);
        self.write(shape, lanes, (!error.is_out_of_memory()).then(|| now() + FAULT.as_secs()));
    }

    /// The path of a shape's file, and its identity.
    fn path(&self, shape: ShapeId) -> Option<(PathBuf, StoredWidth)> {
        let device_model = device::model(self.device);
        let name: String =
            device_model.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = self.folder.as_ref()?.join(format!("{shape}.{name}.lanes.json"));
        Some((path, StoredWidth { device_model, shape: shape.to_string(), lanes: 0, until: None }))
    }

    fn read(&self, shape: ShapeId) -> Option<StoredWidth> {
        let (path, expected) = self.path(shape)?;
        let (file, _) = store_file::open(&path).ok()?;
        decode(&store_file::read(&file, MOST_BYTES).ok()?, expected)
    }

    /// Writes a shape's file. An error costs the time of another measurement.
    fn write(&self, shape: ShapeId, lanes: usize, until: Option<u64>) {
        let (Some(folder), Some((path, identity))) = (&self.folder, self.path(shape)) else {
            return;
        };
        let text = serde_json::to_vec_pretty(&StoredWidth { lanes, until, ..identity })
            .expect("texts and numbers always serialise");
        let written = fs::create_dir_all(folder)
            .and_then(|()| store_file::write(folder, &format!("{shape}.lanes"), &path, &text));
        if let Err(error) = written {
            debug!(folder = %folder.display(), "the number of lanes cannot be written: {error}");
        }
    }
}

/// The content of a file, if it is of the expected shape and model, possible and not expired.
fn decode(content: &[u8], expected: StoredWidth) -> Option<StoredWidth> {
    let stored: StoredWidth = serde_json::from_slice(content).ok()?;
    let (lanes, until) = (stored.lanes, stored.until);
    let counts = (1..=MOST).contains(&lanes) && until.is_none_or(|until| now() < until);
    (counts && stored == StoredWidth { lanes, until, ..expected }).then_some(stored)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Measures the best number of lanes that fit.
pub(super) fn measure(
    spec: &TrialSpec,
    data: &Rc<DeviceData>,
    backend: Backend,
) -> Result<usize, TrainError> {
    let start = Instant::now();
    let (lanes, per_second) = search(|lanes| guarded(|| speed(spec, data, backend, lanes)))?;
    let (seconds, architecture) = (start.elapsed().as_secs_f64(), spec.architecture);
    info!(lanes, per_second, seconds, %architecture, "lanes calibrated");
    Ok(lanes)
}

/// Doubles the lanes as long as that is worth it and memory lasts. A short disturbance, such as
/// another process on the device, must not decide, since the result is kept.
fn search(
    mut speed: impl FnMut(usize) -> Result<f64, TrainError>,
) -> Result<(usize, f64), TrainError> {
    let mut best = (1, 0.0);
    let (mut lanes, mut in_vain) = (1, 0);
    while lanes <= MOST && (in_vain < IN_VAIN || lanes <= ALWAYS) {
        let per_second = match speed(lanes) {
            Ok(per_second) => per_second,
            Err(error) if error.is_out_of_memory() && lanes > 1 => {
                warn!(lanes, "memory ran out: {error}");
                break;
            }
            Err(error) => return Err(error),
        };
        debug!(lanes, per_second, "tried out");
        if per_second < WORTH * best.1 {
            in_vain += 1;
        } else {
            (best, in_vain) = ((lanes, per_second), 0);
        }
        lanes *= 2;
    }
    Ok(best)
}

/// Measures iterations of all lanes per second.
fn speed(
    spec: &TrialSpec,
    data: &Rc<DeviceData>,
    backend: Backend,
    lanes: usize,
) -> Result<f64, TrainError> {
    let subset = Rc::new(data.subset(spec.subset_size as usize, spec.sampling, spec.seed)?);
    let vae = spec
        .vae_samples()
        .map(|VaeSamples { vae, .. }| Rc::new(training::untrained(&vae, &subset.pixels, backend)));
    let candidate = |lane: usize| Candidate {
        ticket: 0,
        spec: TrialSpec { seed: lane as u64, ..*spec },
        wanted: Artifacts::default(),
        reporter: Reporter::new(Box::new(NoObserver), Span::none(), spec.id(), None),
        subset: Rc::clone(&subset),
        validation: None,
        vae: vae.clone(),
        vae_seconds: 0.0,
        from_file: false,
        resumed: None,
    };
    let mut classifiers = Classifiers::new(Rc::clone(data), backend);
    classifiers.add((0..lanes).map(candidate).collect())?;
    // The first iterations also choose algorithms and allocate memory.
    classifiers.try_out(STEPS);
    let mut fastest = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        classifiers.try_out(STEPS);
        fastest = fastest.min(start.elapsed());
    }
    Ok((lanes * STEPS) as f64 / fastest.as_secs_f64())
}

struct NoObserver;

impl Observer for NoObserver {
    fn points(&mut self, _: u64, _: &[MetricPoint]) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }
}

#[cfg(any(test, fuzzing))]
#[path = "width_fuzzing.rs"]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests {
    use swfn_shared::{
        catalogue::SYNTHETIC,
        dataset::Dataset,
        grid::{DEFAULT_MAX_TRIALS, Grid},
    };

    use super::*;
    use crate::data::{LoadOptions, load};

    const GPU: Device = Device::Cuda(0);

    fn out_of_memory() -> TrainError {
        TrainError::Torch("CUDA out of memory".to_owned())
    }

    fn spec() -> TrialSpec {
        let text = "version = 1\nname = \"t\"\n[data]\ndataset = \"synthetic\"\n\
                    [grid]\nsubset_size = 40\nseed = [1]\n\
                    architecture = \"net\"\nlambda = 0.1\n";
        Grid::parse("t", text, DEFAULT_MAX_TRIALS).unwrap().trials().next().unwrap()
    }

    fn data() -> Rc<DeviceData> {
        let mut digits = load(&Dataset::of(&SYNTHETIC), &LoadOptions::default()).unwrap();
        digits.test = digits.test.gather(&[0]);
        Rc::new(DeviceData::new(digits, Device::Cpu))
    }

    #[test]
    fn later_processes_know_the_number_of_lanes() {
        let folder = tempfile::tempdir().unwrap();
        let (spec, data, backend) = (spec(), data(), Backend::from(Device::Cpu));
        let widths = |fixed| Widths::new(GPU, fixed, Some(folder.path().join("lanes")));
        let (mut first, shape) = (widths(None), spec.shape());
        assert_eq!(first.unknown_shape(), 1);
        first.shrink(shape, 48, &out_of_memory());
        assert_eq!(first.find(shape, &spec, &data, backend), Ok(48));
        assert_eq!(widths(None).find(shape, &spec, &data, backend), Ok(48), "from the file");
        first.shrink(shape, 3, &TrainError::Cancelled);
        assert_eq!(
            (
                first.find(shape, &spec, &data, backend),
                widths(None).find(shape, &spec, &data, backend)
            ),
            (Ok(3), Ok(3))
        );
        let mut asked = widths(Some(7));
        assert_eq!(
            asked.find(shape, &spec, &data, backend),
            Ok(3),
            "a fault limits the user's number"
        );
        first.write(shape, 3, Some(now() - 1));
        assert_eq!(widths(None).read(shape), None, "the hour is over");
        let mut asked = widths(Some(7));
        assert_eq!((asked.unknown_shape(), asked.find(shape, &spec, &data, backend)), (7, Ok(7)));
        asked.shrink(shape, 4, &out_of_memory());
        assert_eq!(asked.find(shape, &spec, &data, backend), Ok(4), "what memory allows");
        // A wrong file is ignored.
        let (path, _) = first.path(shape).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for wrong in [
            text.replace("\"lanes\": 4", "\"lanes\": 0"),
            text.replace(&shape.to_string(), "x"),
            "{".to_owned(),
        ] {
            assert_ne!(wrong, text);
            fs::write(&path, wrong).unwrap();
            assert_eq!(widths(None).read(shape), None);
        }
        assert_eq!(
            Widths::new(Device::Cpu, None, None).find(shape, &spec, &data, backend),
            Ok(1),
            "nothing is gained on a CPU"
        );
    }

    #[test]
    fn one_disturbed_measurement_does_not_decide() {
        // Measures a GPU that is busy from 64 lanes on, and slowed down at some numbers.
        let found = |disturbed: &'static [usize]| {
            let mut tried = Vec::new();
            let found = search(|lanes| {
                tried.push(lanes);
                let undisturbed = 700.0 * lanes.min(64) as f64;
                Ok(if disturbed.contains(&lanes) { undisturbed / 4.0 } else { undisturbed })
            });
            (found.unwrap().0, *tried.last().unwrap())
        };
        assert_eq!(found(&[]), (64, 256));
        assert_eq!(found(&[2]), (64, 256));
        assert_eq!(found(&[2, 4, 8]), (64, 256));
        assert_eq!(found(&[32]), (64, 256));
        assert_eq!(found(&[64]), (128, 512));
    }

    #[test]
    fn memory_ends_the_search() {
        let found = search(|lanes| if lanes < 8 { Ok(lanes as f64) } else { Err(out_of_memory()) });
        assert_eq!(found.unwrap().0, 4);
        assert!(search(|_| Err(out_of_memory())).is_err(), "not even one");
    }

    #[test]
    fn the_measurement_trains_real_lanes() {
        let (spec, data, mut tried) = (spec(), data(), Vec::new());
        let found = search(|lanes| {
            tried.push(lanes);
            match lanes {
                1 | 2 => guarded(|| speed(&spec, &data, Backend::from(Device::Cpu), lanes)),
                _ => Err(TrainError::Torch("CUDA out of memory".to_owned())),
            }
        });
        let (lanes, per_second) = found.unwrap();
        assert_eq!(tried, [1, 2, 4]);
        assert!([1, 2].contains(&lanes) && per_second > 0.0, "{lanes} {per_second}");
    }
}
