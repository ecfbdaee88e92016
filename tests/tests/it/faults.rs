//! Processes are killed, and nothing in the results changes. The judge is always the same: the
//! results of the disturbed sweep equal those of an undisturbed one, trial by trial and point by
//! point.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, SystemTime},
};

use nix::sys::signal::Signal;
use swfn_tests::{
    chaos::judge::judge,
    images, ports,
    process::{Process, children, send, send_to_all, wait_until},
    sweep::Sweep,
};

const AXES: &str = "seed = { count = 2 }\nsubset_size = 40\narchitecture = [\"net\", \"net+dropout\"]\nlambda = [0, 0.1]\npenalty_samples = 4";
const ITERATIONS: u32 = 100;

#[test]
fn a_worker_killed_in_the_middle_changes_nothing() {
    let sweep = Sweep::with_leases(8, AXES, ITERATIONS).evaluated_every(25).slowed(200);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let supervisors = [sweep.worker("first", &address, &[]), sweep.worker("second", &address, &[])];
    wait_until("a result", || (sweep.succeeded() >= 1).then_some(()));
    // A device process is killed in the middle of a trial; its supervisor starts another.
    let victim = wait_until("a device process", || children(supervisors[0].id()).first().copied());
    send(victim, Signal::SIGKILL);
    // A whole worker is killed, supervisor included. The coordinator gets no message, so the lease
    // has to expire.
    wait_until("two more results", || (sweep.succeeded() >= 3).then_some(()));
    let [mut first, second] = supervisors;
    let orphans = children(second.id());
    assert_eq!(orphans.len(), 1);
    drop(second);
    coordinator.succeed();
    first.succeed();

    let journal = sweep.journal();
    let lost: Vec<_> = journal.iter().filter(|line| line.kind == "lost").collect();
    // Each worker loses one trial, and the next one if it had requested that already.
    assert!((2..=4).contains(&lost.len()), "both faults hit a trial: {journal:?}");
    assert!(coordinator.stderr().contains("its worker process ended"), "{}", coordinator.stderr());
    assert!(coordinator.stderr().contains("was silent for 8s"), "{}", coordinator.stderr());
    let succeeded: HashSet<_> =
        journal.iter().filter(|line| line.kind == "succeeded").map(|line| &line.trial).collect();
    assert_eq!(succeeded.len(), 8);
    assert!(
        !Path::new(&format!("/proc/{}", orphans[0])).exists(),
        "a device process does not outlive its supervisor"
    );
    judge(&sweep);
}

#[test]
fn a_killed_worker_goes_on_from_its_checkpoints() {
    let axes = "seed = [0]\nsubset_size = 40\narchitecture = [\"net+dropout\", \"lenet+bn\"]\nlambda = 0.1\npenalty_samples = 4";
    let sweep = Sweep::new(axes, 200).evaluated_every(20).slowed(150);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let mut worker = sweep.worker("worker", &address, &["--checkpoint-seconds", "0"]);
    let folder = sweep.cache().join("checkpoints");
    let newest = || {
        let files = fs::read_dir(&folder).ok()?.flatten();
        files.filter_map(|file| file.metadata().ok()?.modified().ok()).max()
    };
    let mut killed = SystemTime::UNIX_EPOCH;
    let mut kills = 0;
    for pause in [170, 40, 390] {
        // Each process gets further than the one before it.
        let ended = wait_until("a newer checkpoint", || match coordinator.ended() {
            Some(_) => Some(true),
            None => newest().is_some_and(|saved| saved > killed).then_some(false),
        });
        sleep(Duration::from_millis(pause));
        let Some(victim) = children(worker.id()).first().copied().filter(|_| !ended) else { break };
        killed = SystemTime::now();
        send(victim, Signal::SIGKILL);
        kills += 1;
    }
    coordinator.succeed();
    worker.succeed();
    let log = worker.stderr();
    let resumed =
        log.lines().filter(|line| line.contains("resumed from a checkpoint step=")).count();
    assert!(kills >= 2 && (1..=kills).contains(&resumed), "{kills} {resumed}\n{log}");
    assert!(sweep.journal().iter().any(|line| line.kind == "lost"), "a fault hit a trial");
    // A half-written file is not a checkpoint. It is removed when it is an hour old.
    let whole = |file: &fs::DirEntry| file.file_name().to_string_lossy().ends_with(".checkpoint");
    let left: Vec<_> = fs::read_dir(&folder).unwrap().flatten().filter(whole).collect();
    assert!(left.is_empty(), "{left:?}");
    judge(&sweep);
}

#[test]
fn a_killed_coordinator_resumes() {
    let sweep = Sweep::new(AXES, ITERATIONS).evaluated_every(25).slowed(200);
    let mut coordinator = sweep.coordinator("killed", &["--local-workers", "2"]);
    wait_until("two results", || (sweep.succeeded() >= 2).then_some(()));
    let supervisors = children(coordinator.id());
    coordinator.signal(Signal::SIGKILL);
    assert_eq!(coordinator.wait(), None, "killed");
    for supervisor in &supervisors {
        wait_until("the end of the local workers", || {
            (!Path::new(&format!("/proc/{supervisor}")).exists()).then_some(())
        });
    }
    let before = sweep.journal();
    let done: HashSet<_> = before
        .iter()
        .filter(|line| line.kind == "succeeded")
        .map(|line| line.trial.clone())
        .collect();
    assert!((2..8).contains(&done.len()), "{before:?}");

    sweep.coordinator("again", &["--local-workers", "2"]).succeed();
    let journal = sweep.journal();
    assert_eq!(journal[..before.len()], before);
    let again = &journal[before.len()..];
    assert!(
        again.iter().all(|line| !done.contains(&line.trial)),
        "nothing done is done again: {again:?}"
    );
    let released = again.iter().take_while(|line| line.kind == "released").count();
    assert!(
        (1..=4).contains(&released),
        "leases of the dead workers are given back first: {again:?}"
    );
    assert!(
        journal.iter().all(|line| line.kind != "lost"),
        "the coordinator's death is no trial's fault: {journal:?}"
    );
    judge(&sweep);
}

#[test]
fn a_worker_trains_while_the_coordinator_is_away() {
    let axes = "seed = [0]\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0";
    let sweep = Sweep::new(axes, 300).evaluated_every(30).slowed(400);
    let door = ports::address();
    let mut coordinator = sweep.coordinator("killed", &["--listen", &door]);
    let address = sweep.address(&coordinator);
    let mut worker = sweep.worker("worker", &address, &[]);
    wait_until("points", || (sweep.query("SELECT count(*) FROM point") > Some(0)).then_some(()));
    coordinator.signal(Signal::SIGKILL);
    coordinator.wait();
    assert_eq!(sweep.succeeded(), 0, "the trial was still running");
    let mut again = sweep.coordinator("again", &["--listen", &door]);
    again.succeed();
    worker.succeed();
    let journal = sweep.journal();
    let kinds: Vec<_> = journal.iter().map(|line| (line.kind.as_str(), line.attempt)).collect();
    assert_eq!(kinds, [("leased", 1), ("succeeded", 1)], "the same attempt went on");
    assert!(worker.stderr().contains("trying again in"), "{}", worker.stderr());
}

#[test]
fn a_worker_stopped_past_its_lease_goes_on() {
    let axes = "seed = { count = 2 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0";
    let sweep = Sweep::with_leases(8, axes, 300).evaluated_every(30).slowed(300);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let mut worker = sweep.worker("worker", &address, &[]);
    wait_until("points", || (sweep.query("SELECT count(*) FROM point") > Some(0)).then_some(()));
    let sleeper = children(worker.id())[0];
    send(sleeper, Signal::SIGSTOP);
    // Both trials are returned if the worker had requested the second one already.
    wait_until("the end of its leases", || {
        (sweep.query("SELECT count(*) FROM event WHERE kind = 'lost'") > Some(0)).then_some(())
    });
    send(sleeper, Signal::SIGCONT);
    coordinator.succeed();
    worker.succeed();
    let journal = sweep.journal();
    let lost: HashSet<_> =
        journal.iter().filter(|line| line.kind == "lost").map(|line| &line.trial).collect();
    for trial in lost {
        let of_lost = journal.iter().filter(|line| line.trial == *trial);
        let kinds: Vec<_> = of_lost.map(|line| (line.kind.as_str(), line.attempt)).collect();
        assert_eq!(
            kinds,
            [("leased", 1), ("lost", 1), ("leased", 2), ("succeeded", 2)],
            "what the sleeper still held is fenced"
        );
    }
    assert!(worker.stderr().contains("lease revoked"), "{}", worker.stderr());
    assert_eq!(sweep.query("SELECT count(*) FROM worker"), Some(1), "the same process went on");
}

#[test]
fn a_worker_killing_trial_fails_until_retried() {
    let axes = "seed = { count = 3 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0";
    let sweep = Sweep::new(axes, 150).evaluated_every(30).slowed(500);
    let grid = fs::read_to_string(sweep.grid()).unwrap().replace("[run]", "[run]\nmax_losses = 3");
    fs::write(sweep.grid(), grid).unwrap();
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let mut worker = sweep.worker("worker", &address, &[]);
    let state = |what: &str| sweep.query(&format!("SELECT {what} FROM trial WHERE number = 1"));
    let mut attempt = 0;
    while state("state = 'quarantined'") != Some(1) {
        let next = wait_until("the next attempt or the end of them", || {
            let attempts =
                state("CASE state WHEN 'leased' THEN attempt WHEN 'quarantined' THEN 0 END")?;
            (attempts == 0 || attempts > attempt).then_some(attempts)
        });
        if next > 0 {
            attempt = next;
            let victim = wait_until("its process", || children(worker.id()).first().copied());
            send(victim, Signal::SIGKILL);
        }
    }
    assert_eq!(coordinator.wait(), Some(3), "{}", coordinator.stderr());
    worker.succeed();
    assert!(attempt >= 3, "only what it did alone counts: {attempt}");
    let states: Vec<_> =
        sweep.csv("trials.csv").iter().map(|trial| trial["state"].clone()).collect();
    assert_eq!(states, ["quarantined", "succeeded", "succeeded"]);
    let table = coordinator.stdout();
    assert!(table.contains("its worker process ended (signal 9, SIGKILL)"), "{table}");
    let mut output = table.lines().skip_while(|line| !line.contains("its worker process ended"));
    assert!(
        output.any(|line| line.starts_with("    ") && line.contains("connected")),
        "its last words: {table}"
    );

    let (run_dir, data) =
        (sweep.run_dir().display().to_string(), images::few().display().to_string());
    let retry = |name: &str, which: &[&str]| {
        sweep.bare_coordinator(
            name,
            &[
                &[
                    "retry",
                    "--run-dir",
                    &run_dir,
                    "--report",
                    "tables",
                    "--local-workers",
                    "1",
                    "--data-dir",
                    &data,
                ],
                which,
            ]
            .concat(),
        )
    };
    let mut nobody = retry("nobody", &["--trial", "0123abcd"]);
    assert_eq!(nobody.wait(), Some(1));
    assert!(nobody.stderr().contains("begins with `0123abcd`\nhint: "), "{}", nobody.stderr());
    let guilty = sweep.csv("trials.csv")[0]["trial"].clone();
    let mut one_of_them = retry("one-of-them", &["--trial", &guilty, "--trial", "0123abcd"]);
    assert_eq!(one_of_them.wait(), Some(1));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut unheard = retry("unheard", &["--failed", "--listen", &address]);
    assert_eq!(unheard.wait(), Some(1));
    let put_back = sweep
        .query("SELECT count(*) FROM trial WHERE state <> 'quarantined' AND state <> 'succeeded'");
    assert_eq!(put_back, Some(0), "what cannot be done as a whole is not done at all");
    retry("again", &["--failed"]).succeed();
    judge(&sweep);
}

#[test]
fn a_drained_worker_finishes_its_trials() {
    let axes = "seed = { count = 6 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0";
    let sweep = Sweep::new(axes, 150).evaluated_every(30).slowed(500);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let mut first = sweep.worker("first", &address, &[]);
    wait_until("points", || (sweep.query("SELECT count(*) FROM point") > Some(0)).then_some(()));
    let mut nobody = sweep.program("nobody", &["drain", "--coordinator", &address, "no-such-host"]);
    assert_eq!(nobody.wait(), Some(1));
    assert!(nobody.stderr().contains("begins with `no-such-host`\nhint: "), "{}", nobody.stderr());
    let mut drain = sweep.program("drain", &["drain", "--coordinator", &address]);
    drain.succeed();
    first.succeed();
    let output = drain.stdout();
    let journal = sweep.journal();
    let holder = journal.iter().find_map(|line| line.worker.clone()).unwrap();
    assert_eq!(output, format!("asked {holder} to leave; it finishes its trials first\n"));
    let done = journal.iter().filter(|line| line.kind == "succeeded").count();
    assert!(
        (1..6).contains(&done) && journal.len() == 2 * done,
        "what it held, and no more: {journal:?}"
    );
    sweep.worker("second", &address, &[]).succeed();
    coordinator.succeed();
    assert!(sweep.journal().iter().all(|line| ["leased", "succeeded"].contains(&&*line.kind)));
}

#[test]
fn a_stopped_worker_saves_its_trial() {
    assert_saved_when_stopped(|_, _, worker| worker.signal(Signal::SIGTERM));
}

#[test]
fn so_does_one_whose_processes_are_all_stopped() {
    assert_saved_when_stopped(|_, _, worker| send_to_all(worker.id(), Signal::SIGTERM));
}

#[test]
fn so_does_a_drained_one() {
    assert_saved_when_stopped(|sweep, address, worker| {
        sweep.program("drain", &["drain", "--coordinator", address]).succeed();
        worker.signal(Signal::SIGTERM);
    });
}

fn assert_saved_when_stopped(ask: fn(&Sweep, &str, &Process)) {
    let axes = "seed = [0]\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0.1";
    let sweep = Sweep::new(axes, 300).evaluated_every(20).slowed(200);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    // The interval is long, so that only the request to stop makes a checkpoint.
    let mut first = sweep.worker("first", &address, &["--checkpoint-seconds", "3600"]);
    let points = "SELECT count(*) FROM point WHERE step >= 100";
    wait_until("points", || sweep.query(points).filter(|count| *count > 0));
    ask(&sweep, &address, &first);
    first.succeed();
    let folder = sweep.cache().join("checkpoints");
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1);
    let mut second = sweep.worker("second", &address, &[]);
    coordinator.succeed();
    second.succeed();
    assert!(second.stderr().contains("resumed from a checkpoint step="), "{}", second.stderr());
    assert_eq!(
        fs::read_dir(&folder).expect("a folder").count(),
        0,
        "removed with the acknowledgement of the result"
    );
    let kinds: Vec<_> = sweep.journal().into_iter().map(|line| line.kind).collect();
    assert_eq!(kinds, ["leased", "released", "leased", "succeeded"]);
    judge(&sweep);
}
