//! Everyday uses of programs: people pipe them into `tee` and `head`, close the terminal, stop
//! them, fill the disk, leave variables empty, and send any signal.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    process::{Command, Stdio},
    thread,
};

use nix::sys::signal::Signal;
use swfn_tests::{
    process::{Process, wait_until},
    programs,
    sweep::Sweep,
};

const AXES: &str = "seed = { count = 2 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0";

/// Makes a pipe without a reader.
fn closed_pipe() -> Stdio {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Opens a disk without room.
fn full_disk() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full is there").into()
}

fn finished() -> Sweep {
    let sweep = Sweep::new(AXES, 10);
    sweep.coordinator("sweep", &["--local-workers", "1"]).succeed();
    sweep
}

/// Makes a command for a program in the sweep's folder.
fn command(sweep: &Sweep, program: &str, arguments: &[&str]) -> Command {
    let mut command = sweep.command(program);
    command.args(arguments).current_dir(sweep.folder());
    command
}

#[test]
fn a_closed_pipe_changes_no_exit_code() {
    let sweep = finished();
    let (grid, run_dir) =
        (sweep.grid().display().to_string(), sweep.run_dir().display().to_string());
    let (nowhere, data) = ("http://127.0.0.1:1", swfn_tests::images::few().display().to_string());
    let cases: &[(&str, &[&str], i32)] = &[
        (
            "swfn-coordinator",
            &["--grid", &grid, "--run-dir", "other", "--local-workers", "1", "--data-dir", &data],
            0,
        ),
        ("swfn-coordinator", &["--grid", &grid, "--dry-run"], 0),
        ("swfn-coordinator", &["--help"], 0),
        ("swfn-coordinator", &["report", &run_dir], 0),
        ("swfn-coordinator", &["report", "nowhere"], 1),
        (
            "swfn-coordinator",
            &["retry", "--failed", "--run-dir", &run_dir, "--local-workers", "1"],
            0,
        ),
        ("swfn-coordinator", &["export", &run_dir, "--format", "csv", "--out", "tables"], 0),
        ("swfn-coordinator", &["logs", "ffff", "--run-dir", &run_dir], 1),
        ("swfn-coordinator", &["backup", &run_dir, "copy"], 0),
        ("swfn-coordinator", &["certs", "--out", "keys", "--hosts", "localhost"], 0),
        ("swfn-worker", &["inspect", "nowhere"], 1),
        ("swfn-worker", &["samples", "--dataset", "synthetic", "--out", "x.png"], 0),
        ("swfn-worker", &["drain", "--coordinator", nowhere], 1),
        ("swfn-worker", &["train", "--spec", &grid], 1),
        (
            "swfn-worker",
            &["--coordinator", nowhere, "--devices", "cpu", "--give-up-after", "1"],
            69,
        ),
    ];
    for (program, arguments, code) in cases {
        let mut process = Process::start_with(
            &mut command(&sweep, program, arguments),
            Some(closed_pipe()),
            Some(closed_pipe()),
            sweep.folder(),
        );
        assert_eq!(process.wait(), Some(*code), "{program} {arguments:?}");
    }
    assert!(sweep.folder().join("other/report.html").exists(), "and costs no table");
}

#[test]
fn a_full_disk_fails_results_but_not_logs() {
    let sweep = finished();
    let (grid, run_dir) =
        (sweep.grid().display().to_string(), sweep.run_dir().display().to_string());
    let one = sweep.csv("trials.csv")[0]["trial"].clone();
    let data = swfn_tests::images::few().display().to_string();
    let cases: &[(&str, &[&str])] = &[
        ("swfn-coordinator", &["--grid", &grid, "--dry-run"]),
        ("swfn-coordinator", &["report", &run_dir]),
        ("swfn-coordinator", &["logs", &one, "--run-dir", &run_dir]),
        ("swfn-worker", &["samples", "--dataset", "synthetic", "--out", "x.png"]),
        ("swfn-worker", &["train", "--spec", &grid, "--trial", &one, "--data-dir", &data]),
    ];
    for (program, arguments) in cases {
        let run = |stdout: Option<Stdio>, stderr: Option<Stdio>| {
            let mut process = Process::start_with(
                &mut command(&sweep, program, arguments),
                stdout,
                stderr,
                sweep.folder(),
            );
            (process.wait(), process.stderr())
        };
        let (code, printed) = run(Some(full_disk()), None);
        assert_eq!(code, Some(1), "{program} {arguments:?}: {printed}");
        assert!(
            printed.contains("error: cannot write to standard output: No space left"),
            "{printed}"
        );
        assert_eq!(run(None, Some(full_disk())).0, Some(0), "{program} {arguments:?}");
    }
}

/// Makes a full pipe whose reader reads no more, like a terminal after Ctrl-S.
fn blocked_pipe() -> (io::PipeReader, Stdio) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut filler = writer.try_clone().expect("a pipe");
    // Writes until the reader is gone.
    thread::spawn(move || while filler.write_all(&[b'\n'; 4096]).is_ok() {});
    (reader, writer.into())
}

#[test]
fn a_blocked_standard_error_blocks_nothing() {
    // The logs of the engine, the supervisor and all their children are long.
    let sweep = Sweep::new(AXES, 10).with("RUST_LOG", "debug");
    let (_reader, stderr) = blocked_pipe();
    let mut coordinator = sweep.coordinator_command(&["--listen", "127.0.0.1:0", "--http", "off"]);
    let mut coordinator = Process::start_with(&mut coordinator, None, Some(stderr), sweep.folder());
    let holder = || {
        fs::read_to_string(sweep.run_dir().join("lock")).ok().filter(|holder| !holder.is_empty())
    };
    wait_until("the run directory", holder);
    // Its log is blocked, but the system knows its port.
    let port = wait_until("the port", || listens(coordinator.id()));
    let (_other, stderr) = blocked_pipe();
    let mut worker = sweep.worker_command(&format!("http://127.0.0.1:{port}"), &[]);
    let mut worker = Process::start_with(&mut worker, None, Some(stderr), sweep.folder());
    coordinator.succeed();
    assert_eq!(sweep.succeeded(), 2);
    assert!(coordinator.stdout().contains("net"), "the table is there");
    worker.succeed();
}

/// Returns the port of the first socket on which a process listens.
fn listens(process: u32) -> Option<u16> {
    let inode = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?.display().to_string();
        target.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
    };
    let mine: Vec<String> =
        fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten().filter_map(inode).collect();
    let sockets = fs::read_to_string(format!("/proc/{process}/net/tcp")).ok()?;
    sockets.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listening = fields[3] == "0A" && mine.iter().any(|inode| inode == fields[9]);
        listening.then(|| u16::from_str_radix(fields[1].rsplit(':').next()?, 16).ok()).flatten()
    })
}

#[test]
fn empty_variables_count_as_unset() {
    let sweep = finished();
    let (grid, run_dir) =
        (sweep.grid().display().to_string(), sweep.run_dir().display().to_string());
    let variables = [
        "SWFN_TLS_CERT",
        "SWFN_TLS_KEY",
        "SWFN_TLS_CLIENT_CA",
        "SWFN_TLS_CA",
        "SWFN_TOKEN_FILE",
        "SWFN_TOKEN",
        "SWFN_COORDINATOR",
        "SWFN_CACHE",
        "RUST_LOG",
    ];
    let run = |program: &str, arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(programs::folder().join(program));
        command
            .args(arguments)
            .current_dir(sweep.folder())
            .env("HOME", sweep.folder())
            .envs(variables.iter().copied());
        let mut process = Process::start(&mut command, sweep.folder(), "program");
        (process.wait(), process.stderr())
    };
    let empty = variables.map(|name| (name, ""));
    for (program, arguments) in [
        ("swfn-coordinator", &["--grid", &grid, "--dry-run"][..]),
        ("swfn-coordinator", &["report", &run_dir]),
        ("swfn-coordinator", &["--run-dir", &run_dir, "--local-workers", "1"]),
        ("swfn-worker", &["samples", "--dataset", "synthetic", "--out", "x.png"]),
    ] {
        let (code, printed) = run(program, arguments, &empty);
        assert_eq!(code, Some(0), "{program} {arguments:?}: {printed}");
        if arguments[0] == "--run-dir" {
            assert!(
                printed.contains("workers join with"),
                "the log is as without RUST_LOG: {printed}"
            );
        }
    }
    let (_, printed) = run("swfn-worker", &["--devices", "cpu", "--give-up-after", "1"], &empty);
    assert!(printed.contains("http://127.0.0.1:7077"), "{printed}");
    // Settings of a sweep break no other command; the sweep refuses them.
    let half = [("SWFN_TLS_CERT", "missing.pem"), ("SWFN_TOKEN", "short")];
    assert_eq!(run("swfn-coordinator", &["report", &run_dir], &half).0, Some(0));
    assert_eq!(run("swfn-coordinator", &["--grid", &grid, "--dry-run"], &half).0, Some(0));
    let (code, printed) = run("swfn-coordinator", &["--run-dir", &run_dir], &half);
    assert_eq!(code, Some(1));
    assert!(printed.contains("--tls-cert is given, and --tls-key is not"), "{printed}");
    let (_, printed) = run(
        "swfn-coordinator",
        &["--run-dir", &run_dir, "--local-workers", "1"],
        &[("RUST_LOG", "=,=a")],
    );
    assert!(printed.contains("RUST_LOG is `=,=a`, which is not a filter"), "{printed}");
}

/// Signals of schedulers, service managers and shells. Signals that this process ignores are left
/// out, since its children ignore them, too.
fn signals() -> impl Iterator<Item = Signal> {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .expect("it says what is ignored");
    let ignored = u64::from_str_radix(mask.trim(), 16).expect("a mask");
    [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGALRM, Signal::SIGXCPU]
        .into_iter()
        .filter(move |signal| ignored >> (*signal as u32 - 1) & 1 == 0)
}

#[test]
fn every_signal_to_stop_returns_leases() {
    let sweep = Sweep::new(AXES, 200).evaluated_every(20).slowed(200);
    for signal in signals() {
        let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
        let address = sweep.address(&coordinator);
        let leased = || {
            (sweep.query("SELECT count(*) FROM trial WHERE state = 'leased'") > Some(0))
                .then_some(())
        };
        let mut worker = sweep.worker("worker", &address, &[]);
        wait_until("a lease", leased);
        worker.signal(signal);
        worker.succeed();
        assert_eq!(
            sweep.query("SELECT count(*) FROM trial WHERE state = 'leased'"),
            Some(0),
            "{signal}: given back"
        );
        coordinator.signal(signal);
        coordinator.succeed();
        let printed = coordinator.stderr();
        assert!(printed.contains("stopped; run the same command again"), "{signal}: {printed}");
    }
    let kinds = sweep.journal().into_iter().map(|line| line.kind).filter(|kind| kind != "leased");
    assert!(kinds.clone().all(|kind| kind == "released") && kinds.count() >= 4);
}

#[test]
fn results_survive_a_removed_run_directory() {
    type Taking = fn(&Sweep);
    let ways: [(Taking, &str, &str); 3] = [
        (
            |sweep| fs::remove_dir_all(sweep.run_dir()).unwrap(),
            "/run` was removed or moved",
            "run.saved-1",
        ),
        (
            |sweep| {
                for name in ["sweep.sqlite", "sweep.sqlite-wal", "sweep.sqlite-shm"] {
                    fs::remove_file(sweep.run_dir().join(name)).unwrap();
                }
            },
            "sweep.sqlite` was removed or moved",
            "run.saved-1",
        ),
        (
            |sweep| fs::rename(sweep.run_dir(), sweep.folder().join("elsewhere")).unwrap(),
            "/run` was removed or moved",
            "elsewhere",
        ),
    ];
    for (take, what, kept) in ways {
        let sweep = Sweep::new(
            "seed = { count = 6 }\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0",
            200,
        );
        let sweep = sweep.evaluated_every(20).slowed(100);
        let run = sweep.folder().join("run");
        assert_eq!(sweep.run_dir(), run);
        let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
        wait_until("a result", || (sweep.succeeded() > 0).then_some(()));
        take(&sweep);
        assert_eq!(coordinator.wait(), Some(1));
        let printed = coordinator.stderr();
        assert!(printed.contains(what) && printed.contains("while the sweep ran"), "{printed}");
        let kept = sweep.folder().join(kept);
        assert!(printed.contains(&format!("go on with --run-dir {}", kept.display())), "{printed}");
        let database = swfn_tests::sweep::database(&kept).unwrap();
        let count = "SELECT count(*) FROM trial WHERE state = 'succeeded'";
        let count: i64 = database.query_row(count, [], |row| row.get(0)).unwrap();
        assert!((1..6).contains(&count), "{count}");
        assert!(kept.join("grid.toml").exists());
    }
}

#[test]
fn results_set_aside_are_reported() {
    let sweep = finished();
    let grid = fs::read_to_string(sweep.grid()).unwrap();
    let run = |text: &str| {
        fs::write(sweep.grid(), text).unwrap();
        let mut coordinator = sweep.coordinator("again", &["--local-workers", "1"]);
        (coordinator.wait(), coordinator.stderr())
    };
    let trials = fs::read_to_string(sweep.run_dir().join("trials.csv")).unwrap();
    let (code, printed) = run(&grid.replace("\"net\"", "\"lenet\""));
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed
            .contains("has the results of another grid, and none of its trials is in this one:\n"),
        "{printed}"
    );
    assert!(
        printed.contains("architecture: net -> lenet")
            && printed.contains("hint: --replace sets them aside"),
        "{printed}"
    );
    assert_eq!(
        fs::read_to_string(sweep.run_dir().join("trials.csv")).unwrap(),
        trials,
        "nothing was replaced"
    );
    let (code, printed) = run(&grid.replace("seed = { count = 2 }", "seed = [1]"));
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("this grid sets 1 result of ") && printed.contains("seed: 0, 1 -> 1\n"),
        "{printed}"
    );
    assert_eq!(fs::read_to_string(sweep.run_dir().join("grids/1.toml")).unwrap(), grid);
    what_was_set_aside_stays_readable(&sweep);
    let (code, printed) = run(&grid.replace("[grid]", "[artifacts]\nconfusion = true\n[grid]"));
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("2 trials had succeeded before [artifacts] asked for files"),
        "{printed}"
    );
}

fn what_was_set_aside_stays_readable(sweep: &Sweep) {
    let run_dir = sweep.run_dir().display().to_string();
    let run_named = |name: &str, arguments: &[&str]| {
        let mut program = sweep.bare_coordinator(name, arguments);
        (program.wait(), program.stdout() + &program.stderr())
    };
    let rows =
        |file: &str| fs::read_to_string(sweep.run_dir().join(file)).unwrap().lines().count() - 1;
    for (grid, folder, trials) in [
        (&[][..], "export", 1),
        (&["--grid", "1"], "grids/1", 2),
        (&["--grid", "all"], "grids/all", 2),
    ] {
        assert_eq!(run_named("export", &[&["export", &run_dir], grid].concat()).0, Some(0));
        assert_eq!(rows(&format!("{folder}/trials.csv")), trials, "{folder}");
    }
    let (code, printed) = run_named("report", &["report", &run_dir, "--grid", "1"]);
    assert_eq!(
        (code, rows("grids/1/trials.csv"), rows("trials.csv")),
        (Some(0), 2, 1),
        "{printed}"
    );
    let (code, printed) = run_named("wrong", &["export", &run_dir, "--grid", "7"]);
    assert!(
        code == Some(1) && printed.contains("has no earlier grid `7`\nhint: it has 1, or `all`"),
        "{printed}"
    );
    let (code, printed) = run_named("logs", &["logs", &run_dir, "--grid", "1", "zz"]);
    assert!(code == Some(1) && printed.matches(", seed ").count() == 2, "{printed}");
    let (_, printed) = run_named("logs", &["logs", &run_dir, "zz"]);
    assert!(printed.matches(", seed ").count() == 1, "{printed}");
}

#[test]
fn first_commands_are_understood() {
    let sweep = finished();
    let grid = sweep.grid().display().to_string();
    let run_named = |name: &str, arguments: &[&str]| {
        let mut program = sweep.bare_coordinator(name, arguments);
        (program.wait(), program.stdout() + &program.stderr())
    };
    let (code, printed) = run_named("positional", &[&grid, "--dry-run"]);
    assert!(code == Some(0) && printed.starts_with("sweep "), "{printed}");
    let cases = [
        (&[&grid, "--workers", "2"][..], "did you mean `--local-workers 2`?"),
        (&[&grid, "--gpus", "1"], "did you mean `--local-workers 1`? It takes GPUs first"),
        (&["retri", &grid], "did you mean `retry`?"),
        (&[], "name a grid file, as in `swfn-coordinator grid.toml`"),
        (&["retry", "--failed"], "name a grid file"),
    ];
    for (arguments, message) in cases {
        let (code, printed) = run_named("wrong", arguments);
        assert!(code == Some(2) && printed.contains(message), "{arguments:?}: {printed}");
    }
    let (code, printed) = run_named("help", &["help", "--help"]);
    assert!(code == Some(0) && printed.contains("Usage: "), "{printed}");
}

#[test]
fn a_sweep_misses_departed_local_workers() {
    let sweep = Sweep::new(AXES, 400).evaluated_every(20).slowed(300);
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
    wait_until("a lease", || {
        (sweep.query("SELECT count(*) FROM trial WHERE state = 'leased'") > Some(0)).then_some(())
    });
    swfn_tests::process::send(swfn_tests::process::children(coordinator.id())[0], Signal::SIGTERM);
    wait_until("a warning", || {
        let printed = coordinator.stderr();
        (printed.contains("the local workers have left, and 2 trials of this sweep are left")
            && printed.contains("start workers with `swfn-worker"))
        .then_some(())
    });
    coordinator.signal(Signal::SIGTERM);
    coordinator.succeed();
}

#[test]
fn local_sweeps_refuse_workers_without_the_token() {
    let sweep = Sweep::new(AXES, 400).evaluated_every(20).slowed(200);
    let mut coordinator = sweep.coordinator("coordinator", &["--local-workers", "1"]);
    let address = sweep.address(&coordinator);
    let mut stranger = sweep.worker("stranger", &address, &[]);
    assert_eq!(stranger.wait(), Some(1), "{}", stranger.stderr());
    assert!(stranger.stderr().contains("token"), "{}", stranger.stderr());
    let file = sweep.run_dir().join("token");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let file = file.display().to_string();
    assert!(
        coordinator.stderr().contains(&format!("--token-file {file} --coordinator")),
        "{}",
        coordinator.stderr()
    );
    let mut known = sweep.worker("known", &address, &["--token-file", &file]);
    wait_until("two workers", || {
        let of_known = "SELECT count(*) FROM worker WHERE id NOT LIKE '.local:%'";
        (sweep.query(of_known) == Some(1)).then_some(())
    });
    coordinator.succeed();
    known.leave();
}
