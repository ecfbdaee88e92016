//! Specifications that no grid file gives.

use super::{MAX_LANES, MAX_MESSAGE_BYTES, trial};
use crate::{
    axes::{self, Axis, Value},
    ids::LeaseId,
    trial::{Architecture, TrialSpec},
};

#[test]
fn specifications_of_no_grid_file_are_refused() {
    let spec = TrialSpec { architecture: Architecture::LENET_BN, ..TrialSpec::PUBLISHED };
    let spec =
        spec.with(axes::LAMBDA, Value::Real(0.1)).with(axes::PENALTY_SAMPLES, Value::Whole(2));
    let refused = |place: &str, value: u64| {
        let lease = LeaseId { trial: spec.id(), attempt: 1 };
        trial(lease, &spec.with(Axis::at(place), Value::Whole(value)).to_json())
            .unwrap_err()
            .to_string()
    };
    let cases = [
        (refused("subset_size", 60_001), "setting `subset_size`: `60001` is not in 1 to 60000"),
        (refused("validation", 59_901), "setting `validation`: `59901` is not in 0 to 59900"),
        (refused("subset_size", 9), "setting `classifier.batch_size`: `10` is not in 1 to 9"),
        (
            refused("subset_size", 19),
            "setting `penalty.vae.vae.batch_size`: `20` is not in 1 to 19",
        ),
        (
            refused("penalty.vae.vae.hidden", 16_385),
            "setting `penalty.vae.vae.hidden`: hidden `16385` is above 16384",
        ),
        (
            refused("classifier.iterations", 0),
            "setting `classifier.iterations`: iterations `0` is not a whole number from 1",
        ),
        (
            refused("penalty.samples", 100_001),
            "setting `penalty.samples`: penalty_samples `100001` is above 100000",
        ),
        (
            refused("penalty.samples", 1),
            "setting `architecture`: batch norm has no variance of `1` image",
        ),
    ];
    for (message, expected) in cases {
        assert!(
            message.starts_with(&format!("field `lease.spec`: {expected}")) && message.len() < 700,
            "{message}"
        );
    }
}

#[test]
fn settings_of_another_trial_are_refused() {
    let (one, other) = (TrialSpec::PUBLISHED, TrialSpec { seed: 1, ..TrialSpec::PUBLISHED });
    let lease = LeaseId { trial: one.id(), attempt: 1 };
    assert_eq!(trial(lease, &one.to_json()), Ok(one));
    let error = trial(lease, &other.to_json()).unwrap_err().to_string();
    assert!(
        error.contains(&one.id().to_string()) && error.contains(&other.id().to_string()),
        "{error}"
    );
}

#[test]
fn the_largest_grant_fits_into_a_message() {
    let lease =
        TrialSpec::PUBLISHED.with(axes::LAMBDA, Value::Real(f64::MIN_POSITIVE)).to_json().len()
            + 400;
    assert!(lease * MAX_LANES as usize <= MAX_MESSAGE_BYTES, "`{lease}` bytes a lease");
}
