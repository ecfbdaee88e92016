//! The scheduler in a simulated cluster.
//!
//! ```text
//!   plan (of a seed) --> faults
//!                          |
//!   queue (virtual time) --+--> world
//!                                 |--> worker_host: process = protocol (the session's) + trainer
//!                                 |         |
//!                                 |      network: streams that break (a model of gRPC)
//!                                 |         |
//!                                 +--> coordinator_host: coordinator (the actor's turn) + disk
//!                                           |
//!                                        oracle (trial_records, *_rules) --> verdict
//! ```
//!
//! A seed is one history: there is no thread, no clock, no other randomness. The oracle checks each
//! answer of the scheduler against its own records. It checks each commit against a scheduler that
//! has only seen the journal, and the end of the sweep. Seeds differ in their possible faults, and
//! so in their promises; see `plan::Promise`.
//!
//! `make simulate SEEDS=100000` takes many seeds, and `make simulate SEED=7` traces one.

mod coordinator;
mod coordinator_host;
mod disk;
mod draw;
mod faults;
mod grant_rules;
mod message;
mod network;
mod oracle;
mod place_rules;
mod plan;
mod process;
mod queue;
mod reply_rules;
mod retries;
mod seeds;
mod state_check;
mod tally;
mod trace_text;
mod trainer;
mod trial_records;
mod verdict;
mod wire;
mod worker_host;
mod world;

#[test]
fn two_hundred_seeds() {
    assert_eq!(seeds::simulate(0, 200).seeds, 200);
}

/// More or others with `SWFN_SEEDS` and `SWFN_SEED`, the first: `make simulate`.
#[test]
#[ignore = "make test-all: ten times as many seeds"]
fn two_thousand_seeds() {
    let first = seeds::number("SWFN_SEED");
    let count = seeds::number("SWFN_SEEDS").unwrap_or(2_000);
    let tally = seeds::simulate(first.unwrap_or(0), count);
    eprint!("{tally}");
    assert_eq!(tally.seeds, count);
    if count >= 2_000 {
        let seen: Vec<_> = tally.faults.keys().copied().collect();
        assert_eq!(seen, tally::FAULTS, "what never happens is not tested");
        assert!(
            tally.named.len() == 2 && tally.refused.len() == 2,
            "{:?} {:?}",
            tally.named,
            tally.refused
        );
    }
}

#[test]
fn a_seed_is_one_history() {
    for seed in 0..20 {
        let journal = || world::run(seed, tally::Trace::Off).journal;
        assert_eq!(journal(), journal(), "seed {seed}");
    }
}
