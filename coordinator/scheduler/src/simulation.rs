//! The scheduler in a simulated cluster.
//!
//! ```text
//!   plan (of a seed) --> faults --+
//!                                 v
//!   queue (virtual time) --> world --> place: process = protocol + trainer  (the session's protocol; a model of the trainer)
//!                                 |      |  network: streams that break     (a model of gRPC)
//!                                 +--> host: coordinator + disk             (the actor's turn; a model of the disk)
//!                                          |
//!                              book <-- oracle --> verdict
//! ```
//!
//! A seed is one history: no thread, no clock, no other randomness. The oracle checks each answer of the scheduler against records of its
//! own, each commit against a scheduler that has only seen the journal, and at the end that there is one, and that it is right. Seeds
//! differ in what may go wrong, and so in what is promised; see `plan::Promise`.
//!
//! `make simulate SEEDS=100000` takes many seeds, `make simulate SEED=7` shows what happens in one.

mod again;
mod book;
mod coordinator;
mod disk;
mod draw;
mod faults;
mod grants;
mod host;
mod message;
mod network;
mod oracle;
mod place;
mod places;
mod plan;
mod process;
mod queue;
mod same;
mod seeds;
mod tally;
mod telling;
mod trainer;
mod verdict;
mod wire;
mod words;
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
