//! A few faults of each kind on real processes; `make chaos` injects as many as the promises ask for. What happens, and how it is
//! judged, stands in `src/chaos`.

use swfn_tests::chaos::scenario::{self, Part};

/// # Panics
/// When a promise is broken. What a machine cannot do is said, and passes.
fn try_out(name: &str) {
    let scenario = scenario::named(name).unwrap_or_else(|| panic!("there is no scenario `{name}`"));
    match (scenario.run)(Part::few(scenario)) {
        Ok(tally) => assert!(tally.faults >= u64::from(scenario.few), "{name}: {tally:?}"),
        Err(reason) => eprintln!("{name} skipped: {reason}"),
    }
}

#[test]
fn what_was_acknowledged_survives_kills_at_failpoints() {
    try_out("coordinator-failpoints");
}

#[test]
fn what_was_acknowledged_survives_kills_at_random_times() {
    try_out("coordinator-kills");
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    try_out("power-cuts");
}

#[test]
fn repeated_messages_change_nothing() {
    try_out("repeated-messages");
}

#[test]
fn reports_that_are_lost_with_their_stream_come_again() {
    try_out("lost-reports");
}

#[test]
fn a_zombie_is_fenced() {
    try_out("zombies");
}

#[test]
fn a_worker_killed_at_failpoints_loses_an_interval_at_most() {
    try_out("worker-failpoints");
}

#[test]
fn a_worker_killed_at_random_times_loses_an_interval_at_most() {
    try_out("worker-kills");
}

#[test]
fn trials_that_abort_are_given_up_alone() {
    try_out("aborting-trials");
}

#[test]
fn trials_that_exhaust_memory_are_given_up_alone() {
    try_out("hoarding-trials");
}

/// It is noticed when nothing has happened for long enough, again and again: two minutes of waiting.
#[test]
#[ignore = "waits for minutes; a part of make chaos"]
fn trials_that_hang_are_given_up_alone() {
    try_out("hanging-trials");
}

#[test]
fn trials_that_fail_are_given_up_alone() {
    try_out("failing-trials");
}

#[test]
fn trials_that_diverge_are_given_up_at_once() {
    try_out("diverging-trials");
}

#[test]
fn a_cut_connection_costs_no_attempt() {
    try_out("cut-connections");
}

#[test]
fn a_cut_network_costs_no_attempt() {
    try_out("cut-networks");
}

#[test]
fn the_wall_clock_may_jump() {
    try_out("clock-jumps");
}

#[test]
fn a_run_directory_has_one_coordinator_whoever_comes_first() {
    try_out("lock-races");
}

#[test]
fn who_is_asked_to_stop_gives_leases_back() {
    try_out("stops");
}

#[test]
fn who_is_asked_twice_waits_for_nothing() {
    try_out("second-signals");
}

#[test]
fn a_coordinator_that_is_gone_for_good_is_not_waited_for_for_ever() {
    try_out("gone-coordinators");
}
