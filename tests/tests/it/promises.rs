//! A few faults of each kind on real processes; `make chaos` injects as many as the promises ask
//! for. `src/chaos` has the scenarios and their judge.

use swfn_tests::chaos::scenario::{self, Part};

/// Injects so many faults of a scenario, of each kind where there are several. Without a number it
/// injects those of a quick try.
///
/// # Panics
/// If a promise is broken. A scenario that this machine cannot run prints a message and passes.
fn try_out(name: &str, count: Option<u32>) {
    let scenario = scenario::named(name).unwrap_or_else(|| panic!("there is no scenario `{name}`"));
    let count = count.unwrap_or(scenario.few);
    match (scenario.run)(Part { seed: 0, count }) {
        Ok(tally) => assert!(tally.faults >= u64::from(count), "{name}: {tally:?}"),
        Err(reason) => eprintln!("{name} skipped: {reason}"),
    }
}

#[test]
fn what_was_acknowledged_survives_kills_at_failpoints() {
    try_out("coordinator-failpoints", None);
}

#[test]
fn what_was_acknowledged_survives_kills_at_random_times() {
    try_out("coordinator-kills", Some(2));
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    try_out("power-cuts", None);
}

#[test]
fn repeated_messages_change_nothing() {
    try_out("repeated-messages", Some(100));
}

#[test]
fn reports_lost_with_their_stream_come_again() {
    try_out("lost-reports", Some(2));
}

#[test]
fn a_zombie_is_fenced() {
    try_out("zombies", Some(1));
}

#[test]
fn kills_at_failpoints_cost_one_interval_at_most() {
    try_out("worker-failpoints", None);
}

#[test]
fn random_kills_cost_one_interval_at_most() {
    try_out("worker-kills", Some(2));
}

#[test]
fn trials_that_abort_are_given_up_alone() {
    try_out("aborting-trials", None);
}

#[test]
fn trials_that_exhaust_memory_are_given_up_alone() {
    try_out("hoarding-trials", Some(1));
}

/// A hanging trial is noticed by long silence, several times in a row: two minutes of waiting.
#[test]
#[ignore = "make test-all: it waits for minutes"]
fn trials_that_hang_are_given_up_alone() {
    try_out("hanging-trials", None);
}

#[test]
fn trials_that_fail_are_given_up_alone() {
    try_out("failing-trials", Some(1));
}

#[test]
fn trials_that_diverge_are_given_up_at_once() {
    try_out("diverging-trials", None);
}

#[test]
fn a_cut_connection_costs_no_attempt() {
    try_out("cut-connections", None);
}

#[test]
fn a_cut_network_costs_no_attempt() {
    try_out("cut-networks", Some(1));
}

#[test]
fn the_wall_clock_may_jump() {
    try_out("clock-jumps", None);
}

#[test]
fn a_run_directory_has_one_coordinator() {
    try_out("lock-races", Some(2));
}

#[test]
fn a_request_to_stop_returns_leases() {
    try_out("stops", Some(2));
}

#[test]
fn a_second_request_stops_at_once() {
    try_out("second-signals", None);
}

#[test]
fn workers_give_up_a_lost_coordinator() {
    try_out("gone-coordinators", None);
}

/// The same scenarios with more faults.
mod again_and_again {
    use super::try_out;

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn what_was_acknowledged_survives_kills_at_random_times() {
        try_out("coordinator-kills", None);
    }

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn repeated_messages_change_nothing() {
        try_out("repeated-messages", None);
    }

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn reports_lost_with_their_stream_come_again() {
        try_out("lost-reports", None);
    }

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn a_zombie_is_fenced() {
        try_out("zombies", None);
    }

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn random_kills_cost_one_interval_at_most() {
        try_out("worker-kills", None);
    }

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn trials_that_exhaust_memory_are_given_up_alone() {
        try_out("hoarding-trials", None);
    }

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn trials_that_fail_are_given_up_alone() {
        try_out("failing-trials", None);
    }

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn a_cut_network_costs_no_attempt() {
        try_out("cut-networks", None);
    }

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn a_run_directory_has_one_coordinator() {
        try_out("lock-races", None);
    }

    #[test]
    #[ignore = "make test-all: more of these faults"]
    fn a_request_to_stop_returns_leases() {
        try_out("stops", None);
    }
}
