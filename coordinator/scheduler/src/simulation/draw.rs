//! The plan of a seed.

use std::time::Duration;

use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use swfn_shared::{
    grid::{DEFAULT_MAX_TRIALS, Grid},
    trial::TrialSpec,
};

use super::{
    super::Limits,
    message::Millis,
    plan::{CrashPoint, Fault, Nature, Plan, Promise, Retry, SlotPlan, Subject, Weather, millis},
};

impl Plan {
    /// The plan of a seed, and the generator for whatever is drawn on the way.
    pub(super) fn of(seed: u64) -> (Self, ChaCha8Rng) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let promise = match rng.random_range(0..100) {
            0..40 => Promise::NothingIsQuarantinedInVain,
            40..55 => Promise::TheInnocentSucceed,
            _ => Promise::AllEnd,
        };
        let limits = limits(promise, &mut rng);
        let specs = specs(&mut rng);
        let subject = |spec: &TrialSpec| {
            let (nature, steps) = (nature(promise, limits, &mut rng), rng.random_range(2..=10));
            (spec.id(), Subject { shape: spec.shape(), vae: spec.vae(), nature, steps, struck: 0 })
        };
        let subjects = specs.iter().map(subject).collect();
        let calm = promise == Promise::TheInnocentSucceed;
        // A slow disk alone must cost nobody a lease, nor a coordinator that was away for once.
        let slow = calm && rng.random_bool(0.3);
        let quiet = if calm { 30_000 } else { rng.random_range(20_000..200_000) };
        let slots: Vec<_> =
            (0..rng.random_range(1..=6)).map(|_| slot(calm, quiet, limits, &mut rng)).collect();
        let mut faults = Vec::new();
        if !calm {
            let count = rng.random_range(0..30);
            let mut fault = || (rng.random_range(0..quiet), fault(limits, slots.len(), &mut rng));
            faults.extend((0..count).map(|_| fault()));
        } else if !slow && rng.random_bool(0.5) {
            faults.push((rng.random_range(0..quiet), absence(limits, &mut rng)));
        }
        faults.sort_by_key(|(at, _)| *at);
        let weather = weather(calm, &mut rng);
        let stream_capacity =
            if rng.random_bool(0.3) { rng.random_range(1..=3) } else { usize::MAX };
        let tick = rng.random_range(250..500);
        let commit = if slow { millis(limits.lease) * 3 / 2 } else { rng.random_range(1..200) };
        let retries = if rng.random_bool(0.5) { rng.random_range(1..=2) } else { 0 };
        (
            Self {
                promise,
                limits,
                specs,
                subjects,
                slots,
                faults,
                weather,
                stream_capacity,
                tick,
                commit,
                quiet,
                retries,
            },
            rng,
        )
    }
}

fn limits(promise: Promise, rng: &mut impl Rng) -> Limits {
    let most = if promise == Promise::NothingIsQuarantinedInVain { 1_000..=1_000 } else { 1..=4 };
    let lease = rng.random_range(4..=30);
    // Beside slow commits the innocent need a stall limit that is worth its name.
    let fewest = if promise == Promise::TheInnocentSucceed { 4 } else { 1 };
    let stall = lease * rng.random_range(fewest..=5) + rng.random_range(0..=5);
    Limits {
        max_failures: rng.random_range(most.clone()),
        max_losses: rng.random_range(most),
        lease: Duration::from_secs(lease),
        stall: Duration::from_secs(stall),
        longest: rng.random_bool(0.2).then(|| longest(promise, stall, rng)),
        portion: if rng.random_bool(0.3) { rng.random_range(1..=4) } else { 64 },
    }
}

/// Where trials are to succeed, none is too slow.
fn longest(promise: Promise, stall: u64, rng: &mut impl Rng) -> Duration {
    let least = if promise == Promise::AllEnd { stall } else { 3_600 };
    Duration::from_secs(rng.random_range(least..=2 * least))
}

fn specs(rng: &mut impl Rng) -> Vec<TrialSpec> {
    let mut some = |all: &[&str]| all[..rng.random_range(1..=all.len())].join(", ");
    let architectures = some(&["\"net\"", "\"lenet\"", "\"lenet+bn\""]);
    let (sizes, lambdas) = (some(&["100", "200"]), some(&["0", "0.1", "1"]));
    let seeds = rng.random_range(1..=4);
    let grid = format!(
        "version = 1\nname = \"s\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = {{ count = {seeds} }}\nsubset_size = [{sizes}]\n\
         architecture = [{architectures}]\nlambda = [{lambdas}]\n"
    );
    Grid::parse("s", &grid, DEFAULT_MAX_TRIALS)
        .expect("a grid of the simulation is valid")
        .trials()
        .collect()
}

fn nature(promise: Promise, limits: Limits, rng: &mut impl Rng) -> Nature {
    let mut times = |limit: u32| match promise {
        // Every loss may come on top of the faults.
        Promise::NothingIsQuarantinedInVain => rng.random_range(1..=3),
        _ if rng.random_bool(0.5) => u32::MAX,
        _ => rng.random_range(1..=limit),
    };
    let (fails, kills, hangs) =
        (times(limits.max_failures), times(limits.max_losses), times(limits.max_losses));
    match rng.random_range(0..100) {
        0..5 => Nature::Diverges,
        5..13 => Nature::Fails(fails),
        13..19 => Nature::Kills(kills),
        19..22 => Nature::Hangs(hangs),
        _ => Nature::Sound,
    }
}

fn slot(calm: bool, quiet: Millis, limits: Limits, rng: &mut impl Rng) -> SlotPlan {
    let lanes = match rng.random_range(0..4) {
        0 | 1 => 1,
        2 => rng.random_range(2..=8),
        _ => 64,
    };
    let starts = if calm || rng.random_bool(0.7) {
        rng.random_range(0..1_000)
    } else {
        rng.random_range(0..quiet)
    };
    // A trial that gets on is not taken for one that stands still.
    let pace = rng.random_range(500..(millis(limits.lease) / 3).min(3_000));
    let local = !calm && rng.random_bool(0.2);
    SlotPlan { lanes, local, starts, pace, ahead: rng.random_bool(0.5) }
}

fn weather(calm: bool, rng: &mut impl Rng) -> Weather {
    let latency = if calm { 200 } else { [5, 50, 2_000][rng.random_range(0..3)] };
    let quiet = Weather { latency, lost: 0.0, doubled: 0.0, overtaken: 0.0, flushes: calm };
    if calm || rng.random_bool(0.7) {
        return quiet;
    }
    let mut chance = || if rng.random_bool(0.5) { rng.random_range(0.0..0.3) } else { 0.0 };
    Weather { lost: chance(), doubled: chance(), overtaken: chance(), ..quiet }
}

/// The coordinator is away, or its clock says so.
fn absence(limits: Limits, rng: &mut impl Rng) -> Fault {
    let lasts = rng.random_range(1..=3 * millis(limits.lease));
    match rng.random_range(0..3) {
        0 => Fault::PauseCoordinator { lasts, tick_first: rng.random_bool(0.5) },
        1 => Fault::FillDisk { lasts },
        _ => Fault::LeapClock { by: rng.random_range(1..=2 * millis(limits.stall)) },
    }
}

fn fault(limits: Limits, slots: usize, rng: &mut impl Rng) -> Fault {
    let slot = rng.random_range(0..slots);
    let (lease, stall) = (millis(limits.lease), millis(limits.stall));
    let mut up_to = |longest: Millis| rng.random_range(1..=longest);
    let (short, long, longest) = (up_to(lease), up_to(3 * lease), up_to(2 * stall));
    match rng.random_range(0..100) {
        0..16 => Fault::CrashWorker {
            slot,
            named: rng.random_bool(0.6),
            down: short,
            silent: rng.random_bool(0.2),
        },
        16..27 => {
            Fault::StallWorker { slot, lasts: if rng.random_bool(0.5) { long } else { short } }
        }
        27..33 => Fault::FreezeTrainer { slot, lasts: longest },
        33..40 => Fault::LeaveWorker { slot, back: rng.random_bool(0.7).then_some(long) },
        40..42 => Fault::BreakTrainer { slot },
        42..44 => Fault::Meddle { slot },
        44..54 => Fault::CutStream { slot },
        54..62 => Fault::Partition { slot, lasts: long },
        62..78 => {
            let point = match rng.random_range(0..8) {
                0 => CrashPoint::Now,
                1 | 2 => CrashPoint::BeforeCommit,
                3 | 4 => CrashPoint::AfterCommit,
                5 | 6 => CrashPoint::AmidAnswers,
                _ => CrashPoint::AfterAnswers,
            };
            Fault::CrashCoordinator {
                point,
                down: if rng.random_bool(0.5) { long } else { 1 + short / 10 },
            }
        }
        78..89 => absence(limits, rng),
        89..93 => Fault::SlowCommits { lasts: long, up_to: short },
        93..97 => {
            let (places, back) =
                (rng.random_range(1..=slots), rng.random_bool(0.8).then_some(long));
            Fault::DrainWorkers { first: slot, places, now: rng.random_bool(0.3), back }
        }
        _ => {
            Fault::Retry { which: retry(rng), down: rng.random_bool(0.5).then_some(1 + short / 10) }
        }
    }
}

pub(super) fn retry(rng: &mut impl Rng) -> Retry {
    match rng.random_range(0..4) {
        0 => Retry::Diverged,
        1 => Retry::Failed,
        _ => Retry::One(rng.random_range(0..10)),
    }
}
