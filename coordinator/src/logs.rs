//! `swfn-coordinator logs`: what a trial said, attempt by attempt, who trained it, and how each attempt ended; also while it runs.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use swfn_shared::{
    output, problem,
    problem::OrProblem as _,
    quote::{for_terminal, quote},
    state::TrialState,
    trial_log::MAX_BYTES,
};
use swfn_store::{
    Store,
    grid_file::{self, Earlier},
    log_file, parse, spec_of,
};
use time::OffsetDateTime;

/// Time between two looks at a trial that is followed.
const PERIOD: Duration = Duration::from_millis(500);

/// Trials that are listed when none, or more than one, is meant.
const CANDIDATES: usize = 10;

/// Which trial.
#[derive(Debug, Args)]
#[command(override_usage = "swfn-coordinator logs [OPTIONS] [RUN_DIR] <TRIAL>")]
pub(crate) struct LogsArguments {
    /// Run directory of the sweep [default: the one in `runs` that has the trial], then the id of the trial, or how it begins
    #[arg(value_name = "[RUN_DIR] TRIAL", required = true)]
    names: Vec<PathBuf>,
    /// The same as RUN_DIR
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Look among the trials of an earlier grid of the run directory alone: its number [default: all trials]
    #[arg(long, value_name = "N|all")]
    grid: Option<Earlier>,
    /// Go on until the trial is done or has failed
    #[arg(long, short)]
    follow: bool,
}

/// A trial that was found.
struct Found {
    run_dir: PathBuf,
    number: i64,
    id: String,
    /// Its point of the grid, in a few words.
    label: String,
}

/// Shows the log on standard output.
pub(crate) fn run(arguments: &LogsArguments) -> anyhow::Result<()> {
    let (run_dir, trial) = match (&arguments.names[..], &arguments.run_dir) {
        ([trial], run_dir) => (run_dir.as_deref(), trial),
        ([run_dir, trial], None) => (Some(run_dir.as_path()), trial),
        _ => bail!(problem!(
            "more is named than a run directory and a trial";
            "`swfn-coordinator logs RUN_DIR TRIAL`"
        )),
    };
    let found = find_below(Path::new("runs"), &trial.to_string_lossy(), run_dir, arguments.grid)?;
    let reader = Store::open_live(&found.run_dir.join("sweep.sqlite"))?;
    output::results(|out| show(&found, &reader, arguments.follow, out))
}

/// What [`label`] is made of.
const POINT: &str = "spec, state, in_grid";

/// The cell of a trial, its seed and its state, in words.
fn label(row: &rusqlite::Row<'_>) -> rusqlite::Result<String> {
    let (spec, state) = (spec_of(row.get_ref("spec")?)?, parse::<TrialState>(row, "state")?);
    let earlier = if row.get("in_grid")? { "" } else { ", of an earlier grid" };
    Ok(format!("{}, seed {}, {}{earlier}", spec.label(), spec.seed, state.word()))
}

/// The one trial whose id begins so, where the run directories of all sweeps are in that folder.
fn find_below(
    all: &Path,
    prefix: &str,
    run_dir: Option<&Path>,
    grid: Option<Earlier>,
) -> anyhow::Result<Found> {
    let run_dirs = match run_dir {
        Some(run_dir) => vec![run_dir.to_owned()],
        None => sweeps(all)?,
    };
    let wanted = prefix.to_ascii_lowercase();
    let possible =
        (1..=32).contains(&wanted.len()) && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (mut matches, mut others) = (Vec::new(), Vec::new());
    let mut opened = 0;
    let mut unread = None;
    for folder in run_dirs {
        let reader = match Store::open_live(&folder.join("sweep.sqlite")) {
            Ok(reader) => reader,
            // Nobody named it: another sweep, of an earlier program or broken, is in nobody's way.
            Err(error) if run_dir.is_none() => {
                output::print_message(&format!("`{}` is left out: {error}", folder.display()));
                unread = Some(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        opened += 1;
        if let Some(chosen) = grid_file::chosen(&folder, grid)? {
            reader.choose(&chosen)?;
        }
        let some = |condition: &str, order: &str| {
            let sql = format!(
                "SELECT number, id, {POINT} FROM trial WHERE {condition} ORDER BY {order} LIMIT {CANDIDATES} + 1"
            );
            let found = |row: &rusqlite::Row<'_>| {
                Ok(Found {
                    run_dir: folder.clone(),
                    number: row.get(0)?,
                    id: row.get(1)?,
                    label: label(row)?,
                })
            };
            reader.all(&sql, (), found)
        };
        if possible {
            // Nothing but hexadecimal digits, so nothing that means anything in SQL.
            let among = if grid.is_some() { "in_grid" } else { "1" };
            matches.extend(some(&format!("id LIKE '{wanted}%' AND {among}"), "number")?);
        }
        others.extend(some(
            "in_grid",
            "state = 'quarantined' DESC, state = 'leased' DESC, attempt DESC, number",
        )?);
    }
    if let (0, Some(error)) = (opened, unread) {
        return Err(error.into());
    }
    let several =
        run_dir.is_none() && matches.iter().any(|found| found.run_dir != matches[0].run_dir);
    match matches.len() {
        1 => Ok(matches.remove(0)),
        0 => bail!(problem!(
            "no trial has an id that begins with {}", quote(prefix);
            "there are{}\ntrials.csv has all", list(&others, run_dir.is_none())
        )),
        _ => bail!(problem!(
            "more than one trial has an id that begins with {}", quote(prefix);
            "give more of its digits{}:{}",
            if several { ", or the run directory before them" } else { "" }, list(&matches, run_dir.is_none())
        )),
    }
}

fn list(candidates: &[Found], with_folder: bool) -> String {
    let line = |found: &Found| {
        let place =
            if with_folder { format!(" in {}", found.run_dir.display()) } else { String::new() };
        format!("\n  {} ({}){place}", found.id, for_terminal(&found.label))
    };
    let more = if candidates.len() > CANDIDATES { "\n  and others" } else { "" };
    candidates.iter().take(CANDIDATES).map(line).collect::<String>() + more
}

/// The run directories in a folder.
fn sweeps(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let none = || {
        problem!(
            "there is no sweep in `{}`", folder.display();
            "name a run directory before the trial"
        )
    };
    let entries = folder.read_dir().or_problem(none)?;
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.join("sweep.sqlite").is_file());
    found.sort();
    if found.is_empty() { bail!(none()) } else { Ok(found) }
}

/// Something that happened to the trial.
struct Event {
    sequence: i64,
    at: f64,
    attempt: u32,
    kind: String,
    /// Who took it, and where that is.
    worker: Option<String>,
    error: Option<String>,
    quarantine: bool,
    log: Option<String>,
}

/// Writes down what there is and, if it is to be followed, what comes, until the trial is done.
fn show(found: &Found, reader: &Store, follow: bool, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "trial {} ({}) in {}",
        found.id,
        for_terminal(&found.label),
        found.run_dir.display()
    )?;
    let mut position = 0;
    // The attempt that is under way, and how much of its log has been shown.
    let mut current: Option<(u32, u64)> = None;
    loop {
        // Before the log is read: what is in the journal of an attempt's end has all of its log before it.
        let events = events(reader, found.number, position)?;
        for event in events {
            position = event.sequence;
            if let Some((attempt, shown)) = current.take() {
                log(found, attempt, shown, out)?;
            }
            begin_or_end(&event, out)?;
            current = (event.kind == "leased").then_some((event.attempt, 0));
        }
        if let Some((attempt, shown)) = &mut current {
            *shown = log(found, *attempt, *shown, out)?;
        }
        out.flush()?;
        let state: Vec<TrialState> =
            reader.all("SELECT state FROM trial WHERE number = ?1", [found.number], |row| {
                parse(row, 0)
            })?;
        let done = state.first().is_none_or(|state| state.is_final());
        if !follow || (done && events_after(reader, found.number, position)?) {
            return Ok(());
        }
        thread::sleep(PERIOD);
    }
}

/// Whether nothing has happened to the trial since.
fn events_after(reader: &Store, trial: i64, position: i64) -> anyhow::Result<bool> {
    Ok(events(reader, trial, position)?.is_empty())
}

fn events(reader: &Store, trial: i64, after: i64) -> anyhow::Result<Vec<Event>> {
    let sql = "SELECT sequence, at, attempt, kind, worker.id || ' on ' || host || ', ' || device || ' (' || model || ')',
                      error, quarantine, log
               FROM event LEFT JOIN worker ON worker.id = event.worker WHERE trial = ?1 AND sequence > ?2 ORDER BY sequence";
    let event = |row: &rusqlite::Row<'_>| {
        Ok(Event {
            sequence: row.get(0)?,
            at: row.get(1)?,
            attempt: row.get(2)?,
            kind: row.get(3)?,
            worker: row.get(4)?,
            error: row.get(5)?,
            quarantine: row.get(6)?,
            log: row.get(7)?,
        })
    };
    Ok(reader.all(sql, (trial, after), event)?)
}

fn begin_or_end(event: &Event, out: &mut impl Write) -> anyhow::Result<()> {
    let Event { at, attempt, kind, worker, error, quarantine, log, .. } = event;
    let at = date(*at);
    if kind == "leased" {
        let worker = worker.as_deref().unwrap_or("a worker that is not known");
        writeln!(out, "\n== attempt {attempt}, {at}, worker {}", for_terminal(worker))?;
        return Ok(());
    }
    let what = match (kind.as_str(), *quarantine) {
        ("succeeded", _) => "done",
        ("released", _) => "given back",
        (kind, false) => kind,
        (kind, true) => &format!("{kind} for good"),
    };
    write!(out, "== {what}, {at}")?;
    match error {
        Some(error) => writeln!(out, ": {}", for_terminal(error))?,
        None => writeln!(out)?,
    }
    if let Some(log) = log {
        writeln!(out, "== what its process said last:")?;
        for line in for_terminal(log).lines() {
            writeln!(out, "   {line}")?;
        }
    }
    Ok(())
}

/// Shows the log of an attempt from that place on; returns where it ends.
fn log(found: &Found, attempt: u32, from: u64, out: &mut impl Write) -> anyhow::Result<u64> {
    let path = log_file(&found.run_dir.join("logs"), &found.id, attempt);
    let Ok(mut file) = File::open(&path) else { return Ok(from) };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    file.take(2 * MAX_BYTES as u64).read_to_end(&mut bytes)?;
    out.write_all(for_terminal(&String::from_utf8_lossy(&bytes)).as_bytes())?;
    Ok(from + bytes.len() as u64)
}

/// Of a time in seconds since 1970.
fn date(at: f64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(at as i64) else {
        return "at an unknown time".to_owned();
    };
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    format!("{year}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC", u8::from(month))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use swfn_shared::ids::LeaseId;

    use super::*;
    use swfn_scheduler::Event as JournalEvent;
    use swfn_store::{
        Batch, Store,
        samples::{batch, leased, specs},
    };

    fn find(prefix: &str, run_dir: &Path) -> anyhow::Result<Found> {
        find_below(Path::new("runs"), prefix, Some(run_dir), None)
    }

    fn shown(found: &Found, run_dir: &Path) -> String {
        let mut out = Vec::new();
        show(found, &Store::open_live(&run_dir.join("sweep.sqlite")).unwrap(), true, &mut out)
            .unwrap();
        String::from_utf8(out).unwrap().replace(&run_dir.display().to_string(), "RUN_DIR")
    }

    #[test]
    fn other_runs_that_cannot_be_read_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let [broken, good] = ["a-broken", "good"].map(|name| dir.path().join(name));
        fs::create_dir(&broken).unwrap();
        fs::write(broken.join("sweep.sqlite"), "no database, but long enough to look like one")
            .unwrap();
        let id = specs(1)[0].id().to_string();
        assert!(find_below(dir.path(), &id, None, None).is_err(), "nothing can be read");
        fs::create_dir(&good).unwrap();
        Store::open(&good.join("sweep.sqlite")).unwrap().set_trials(&specs(1)).unwrap();
        assert_eq!(find_below(dir.path(), &id, None, None).unwrap().run_dir, good);
        assert!(find_below(dir.path(), &id, Some(&broken), None).is_err(), "it was named");
    }

    #[test]
    fn attempts_with_their_logs_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let specs = specs(20);
        let mut store = Store::open(&dir.path().join("sweep.sqlite")).unwrap();
        store.set_trials(&specs).unwrap();
        let lease = |attempt| LeaseId { trial: specs[1].id(), attempt };
        let failed = JournalEvent::Failed {
            lease: lease(1),
            error: "torch failed: \u{1b}[2Jno".to_owned(),
            log: "WARN one\nERROR two\n".to_owned(),
            quarantine: false,
        };
        let id = specs[1].id().to_string();
        let logs = dir.path().join("logs").join(&id);
        fs::create_dir_all(&logs).unwrap();
        store.write(1e9, &leased(lease(1))).unwrap();
        store.write(1e9 + 1.0, &batch(LeaseId { trial: specs[3].id(), attempt: 1 }, 0.5)).unwrap();
        store.write(1e9 + 60.0, &Batch { events: vec![failed], ..Batch::default() }).unwrap();
        store.write(1e9 + 61.0, &leased(lease(2))).unwrap();
        store.write(1e9 + 3600.0, &batch(lease(2), 0.5)).unwrap();
        fs::write(logs.join("1.log"), "first \u{9b}31m\n").unwrap();
        fs::write(logs.join("2.log"), "second\n").unwrap();
        let found = find(&id[..10].to_uppercase(), dir.path()).unwrap();
        insta::assert_snapshot!(shown(&found, dir.path()));

        let error = |prefix: &str| {
            let error = find(prefix, dir.path()).err().unwrap().to_string();
            assert!(error.lines().count() <= CANDIDATES + 4, "{error}");
            error
        };
        // Forty trials have sixteen first digits.
        let digit = (0..16).map(|digit| format!("{digit:x}")).find(|digit| {
            specs.iter().filter(|spec| spec.id().to_string().starts_with(digit)).count() > 1
        });
        let ambiguous = error(&digit.unwrap());
        assert!(
            ambiguous.starts_with("more than one trial") && ambiguous.contains(", n = 100, "),
            "{ambiguous}"
        );
        for unknown in ["", "zz", "%", "\u{1b}[2J", &"0".repeat(33)] {
            let unknown = error(unknown);
            // Those that something has happened to come first.
            assert!(
                unknown.contains(&format!("hint: there are\n  {id} (net, n = 100, ")),
                "{unknown}"
            );
            assert!(unknown.contains("and others") && !unknown.contains('\u{1b}'), "{unknown}");
        }
        let missing = find("ab", &dir.path().join("nowhere")).err().unwrap().to_string();
        assert!(
            missing.contains("sweep.sqlite` is not there\nhint: name the run directory"),
            "{missing}"
        );
    }
}
