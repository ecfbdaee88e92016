//! The order in which trials are handed out.

use std::collections::HashMap;

use swfn_shared::{
    capacity::Capacity,
    ids::{CellId, VaeId},
};

use super::*;

const AXES: &str = "seed = { count = 4 }\nsubset_size = [100, 300]\narchitecture = [\"net\", \"lenet\"]\nlambda = [0, 0.1]\n\
                    [[include]]\nlambda = 0\narchitecture = \"net+dropout\"\n";

/// Has one trial at a time for each of so many workers done, which keep the VAEs that they trained.
/// Gives the trials in the order in which they were begun, and how often a VAE was trained.
fn sweep(workers: usize) -> (Vec<TrialSpec>, usize) {
    let mut sweep = Sweep::of(specs_of(AXES));
    let names: Vec<_> = (0..workers).map(|number| format!("w{number}")).collect();
    names.iter().for_each(|name| sweep.join(name));
    let mut vaes: Vec<Vec<VaeId>> = vec![Vec::new(); workers];
    let mut held = vec![None; workers];
    let (mut begun, mut trained) = (Vec::new(), 0);
    while !sweep.scheduler.counts().finished() {
        for (number, name) in names.iter().enumerate() {
            if let Some(lease) = held[number].take() {
                sweep.succeed(name, lease).unwrap();
            }
            let asked = Command::Asked {
                worker: worker(name),
                capacity: Capacity { vaes: vaes[number].clone(), ..room(1) },
            };
            held[number] = sweep.tell(asked).unwrap().iter().find_map(Event::durable);
            let Some(spec) = held[number].map(|lease| *sweep.scheduler.spec(lease.trial).unwrap())
            else {
                continue;
            };
            begun.push(spec);
            if let Some(vae) = spec.vae().filter(|vae| !vaes[number].contains(vae)) {
                vaes[number].push(vae);
                trained += 1;
            }
        }
    }
    (begun, trained)
}

#[test]
fn a_sweep_fills_up_seed_by_seed() {
    for workers in [1, 2, 3, 8] {
        let (begun, trained) = sweep(workers);
        let seeds: Vec<_> = begun.iter().map(|spec| spec.seed).collect();
        assert!(seeds.is_sorted(), "{workers}: {seeds:?}");
        let mut cells: HashMap<CellId, usize> = HashMap::new();
        begun[..begun.len() / 2]
            .iter()
            .for_each(|spec| *cells.entry(spec.cell()).or_default() += 1);
        assert!(
            cells.len() == 10 && cells.values().all(|count| *count == 2),
            "{workers}: {cells:?}"
        );
        // Two subsets of each seed: as long as there are not more workers than that, each VAE is
        // one worker's.
        assert!(trained == 8 || workers > 2, "{workers}: {trained}");
    }
}

#[test]
fn a_worker_gets_trials_whose_vae_it_has() {
    let mut sweep = Sweep::of(specs_of(AXES));
    sweep.join("ann");
    sweep.join("bob");
    let of = |sweep: &Sweep, lease: LeaseId| {
        let spec = sweep.scheduler.spec(lease.trial).unwrap();
        (spec.seed, spec.subset_size, spec.vae().is_some())
    };
    let ann = sweep.ask("ann", 1)[0];
    let bob = sweep.ask("bob", 1)[0];
    assert_eq!(
        (of(&sweep, ann), of(&sweep, bob)),
        ((0, 100, false), (0, 300, false)),
        "a subset each"
    );
    sweep.succeed("bob", bob).unwrap();
    let vae = sweep
        .scheduler
        .trials()
        .filter(|(_, spec, _)| spec.subset_size == 300)
        .find_map(|(_, spec, _)| spec.vae());
    let asked = Command::Asked {
        worker: worker("bob"),
        capacity: Capacity { vaes: vae.into_iter().collect(), ..room(1) },
    };
    let bob = sweep.tell(asked).unwrap().iter().find_map(Event::durable).unwrap();
    assert_eq!(of(&sweep, bob), (0, 300, true));
    sweep.join("eve");
    let eve = sweep.ask("eve", 1)[0];
    assert_eq!(of(&sweep, eve), (0, 100, false), "not the VAE that another one is about to train");
}
