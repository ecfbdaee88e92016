//! `swfn-coordinator logs`: the log of each attempt of a trial, its worker and its end, also while
//! the trial runs.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use rusqlite::Row;
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

/// Trials that an error lists.
const CANDIDATES: usize = 10;

#[derive(Debug, Args)]
#[command(override_usage = "swfn-coordinator logs [OPTIONS] [RUN_DIR] <TRIAL>")]
pub(crate) struct LogsArguments {
    /// Run directory of the sweep [default: the one in `runs` that has the trial], then the id of
    /// the trial, or its beginning
    #[arg(value_name = "[RUN_DIR] TRIAL", required = true)]
    names: Vec<PathBuf>,
    /// The same as RUN_DIR
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Search only an earlier grid of the run directory, by its number [default: all trials]
    #[arg(long, value_name = "N|all")]
    grid: Option<Earlier>,
    /// Continue until the trial is done or has failed
    #[arg(long, short)]
    follow: bool,
}

struct FoundTrial {
    run_dir: PathBuf,
    number: i64,
    id: String,
    /// Its cell, seed and state.
    label: String,
}

impl FoundTrial {
    fn from_row(run_dir: &Path, row: &Row<'_>) -> rusqlite::Result<Self> {
        let (spec, state) = (spec_of(row.get_ref("spec")?)?, parse::<TrialState>(row, "state")?);
        let earlier = if row.get("in_grid")? { "" } else { ", of an earlier grid" };
        Ok(Self {
            run_dir: run_dir.to_owned(),
            number: row.get("number")?,
            id: row.get("id")?,
            label: format!("{}, seed {}, {}{earlier}", spec.label(), spec.seed, state.word()),
        })
    }
}

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

/// The one trial whose id begins so; without a run directory, among those in the folder `all`.
fn find_below(
    all: &Path,
    prefix: &str,
    run_dir: Option<&Path>,
    grid: Option<Earlier>,
) -> anyhow::Result<FoundTrial> {
    let run_dirs = run_dir.map_or_else(|| sweeps(all), |run_dir| Ok(vec![run_dir.to_owned()]))?;
    let wanted = prefix.to_ascii_lowercase();
    let is_possible =
        (1..=32).contains(&wanted.len()) && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (mut matches, mut others) = (Vec::new(), Vec::new());
    let mut unreadable = None;
    let mut opened = 0;
    for folder in run_dirs {
        let reader = match Store::open_live(&folder.join("sweep.sqlite")) {
            Ok(reader) => reader,
            // The user did not name it: it may be broken, or of another version.
            Err(error) if run_dir.is_none() => {
                output::print_message(&format!("skipped `{}`: {error}", folder.display()));
                unreadable = Some(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        opened += 1;
        if let Some(chosen) = grid_file::chosen(&folder, grid)? {
            reader.choose(&chosen)?;
        }
        let select = |condition: &str, order: &str| {
            let sql = format!(
                "SELECT number, id, spec, state, in_grid FROM trial WHERE {condition}
                 ORDER BY {order} LIMIT {CANDIDATES} + 1"
            );
            reader.all(&sql, (), |row| FoundTrial::from_row(&folder, row))
        };
        if is_possible {
            // Only hexadecimal digits, so no SQL.
            let among = if grid.is_some() { "in_grid" } else { "1" };
            matches.extend(select(&format!("id LIKE '{wanted}%' AND {among}"), "number")?);
        }
        let order = "state = 'quarantined' DESC, state = 'leased' DESC, attempt DESC, number";
        others.extend(select("in_grid", order)?);
    }
    if let (0, Some(error)) = (opened, unreadable) {
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
            if several { ", or the run directory before them" } else { "" },
            list(&matches, run_dir.is_none())
        )),
    }
}

fn list(candidates: &[FoundTrial], with_folder: bool) -> String {
    let line = |FoundTrial { run_dir, id, label, .. }: &FoundTrial| {
        let folder = if with_folder { format!(" in {}", run_dir.display()) } else { String::new() };
        format!("\n  {id} ({}){folder}", for_terminal(label))
    };
    let more = if candidates.len() > CANDIDATES { "\n  and others" } else { "" };
    candidates.iter().take(CANDIDATES).map(line).collect::<String>() + more
}

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

/// Prints what there is and, with `follow`, what comes, until the trial has ended.
fn show(
    found: &FoundTrial,
    reader: &Store,
    follow: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (label, folder) = (for_terminal(&found.label), found.run_dir.display());
    writeln!(out, "trial {} ({label}) in {folder}", found.id)?;
    let mut position = 0;
    // The attempt that runs, and how many bytes of its log were shown.
    let mut current: Option<(u32, u64)> = None;
    loop {
        // In this order: an attempt whose end is in the journal has its whole log, and a trial that
        // has ended has its whole journal.
        let sql = "SELECT state FROM trial WHERE number = ?1";
        let states: Vec<TrialState> = reader.all(sql, [found.number], |row| parse(row, 0))?;
        let has_ended = states.first().is_none_or(|state| state.is_final());
        let sql = "SELECT event.*,
                          worker.id || ' on ' || host || ', ' || device || ' (' || model || ')'
                          AS holder
                   FROM event LEFT JOIN worker ON worker.id = event.worker
                   WHERE trial = ?1 AND sequence > ?2 ORDER BY sequence";
        for (sequence, begun, lines) in reader.all(sql, (found.number, position), event)? {
            position = sequence;
            if let Some((attempt, shown)) = current.take() {
                show_log(found, attempt, shown, out)?;
            }
            out.write_all(lines.as_bytes())?;
            current = begun.map(|attempt| (attempt, 0));
        }
        if let Some((attempt, shown)) = &mut current {
            *shown = show_log(found, *attempt, *shown, out)?;
        }
        out.flush()?;
        if !follow || has_ended {
            return Ok(());
        }
        thread::sleep(PERIOD);
    }
}

/// An event of the trial's journal: its number, the attempt if it begins one, and its lines.
fn event(row: &Row<'_>) -> rusqlite::Result<(i64, Option<u32>, String)> {
    let text = |column: &str| {
        row.get::<_, Option<String>>(column).map(|text| text.map(|text| for_terminal(&text)))
    };
    let (sequence, at, kind): (_, _, String) =
        (row.get("sequence")?, row.get("at")?, row.get("kind")?);
    let at = date(at);
    let kind = match (&*kind, row.get("quarantine")?) {
        ("leased", _) => {
            let worker = text("holder")?.unwrap_or("a worker that is not known".to_owned());
            let attempt = row.get("attempt")?;
            let line = format!("\n== attempt {attempt}, {at}, worker {worker}\n");
            return Ok((sequence, Some(attempt), line));
        }
        ("succeeded", _) => "done",
        ("released", _) => "returned",
        (kind, false) => kind,
        (kind, true) => &format!("{kind} for good"),
    };
    let error = text("error")?.map_or(String::new(), |error| format!(": {error}"));
    let mut shown = format!("== {kind}, {at}{error}\n");
    if let Some(log) = text("log")? {
        shown += "== last lines of its process:\n";
        shown.extend(log.lines().map(|line| format!("   {line}\n")));
    }
    Ok((sequence, None, shown))
}

/// Prints the log of an attempt from that position on; returns the position of its end.
fn show_log(
    found: &FoundTrial,
    attempt: u32,
    from: u64,
    out: &mut impl Write,
) -> anyhow::Result<u64> {
    let path = log_file(&found.run_dir.join("logs"), &found.id, attempt);
    let Ok(mut file) = File::open(&path) else { return Ok(from) };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    file.take(2 * MAX_BYTES as u64).read_to_end(&mut bytes)?;
    out.write_all(for_terminal(&String::from_utf8_lossy(&bytes)).as_bytes())?;
    Ok(from + bytes.len() as u64)
}

/// The date and time of `at`, in seconds since 1970.
fn date(at: f64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(at as i64) else {
        return "at an unknown time".to_owned();
    };
    let ((hour, minute, second), month) = (at.to_hms(), u8::from(at.month()));
    format!("{}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", at.year(), at.day())
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

    fn find(prefix: &str, run_dir: &Path) -> anyhow::Result<FoundTrial> {
        find_below(Path::new("runs"), prefix, Some(run_dir), None)
    }

    fn shown(found: &FoundTrial, run_dir: &Path) -> String {
        let mut out = Vec::new();
        show(found, &Store::open_live(&run_dir.join("sweep.sqlite")).unwrap(), true, &mut out)
            .unwrap();
        String::from_utf8(out).unwrap().replace(&run_dir.display().to_string(), "RUN_DIR")
    }

    #[test]
    fn unreadable_other_runs_are_skipped() {
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
    fn attempts_have_logs_and_ends() {
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
            // Trials with events come first.
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
