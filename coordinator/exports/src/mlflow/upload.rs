//! Trials as runs: one run for each trial that has begun. A tag of the run names its trial, so that
//! a second upload updates the run.

use std::{
    collections::{BTreeMap, HashMap},
    fs, mem,
    path::Path,
};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use swfn_shared::{grid::Grid, problem, problem::OrProblem as _, state::TrialState, text};
use swfn_store::Store;

use super::{
    super::trial::{self, Trial},
    client::Client,
};

/// Tags that name a run's trial and attempt, and that record how far the upload is.
const TRIAL: &str = "swfn.trial";
const ATTEMPT: &str = "swfn.attempt";
const POINTS: &str = "swfn.points";
const STATE: &str = "swfn.state";
/// The tag of a run that an upload deleted, because the trial has another one.
const REPLACED: &str = "swfn.replaced";

/// Items of one request. MLflow's limit is 1000, tags included, at most 100 of them parameters.
const METRICS: usize = 900;
const PARAMS: usize = 100;

/// Bytes of a tag and of a parameter, below the limits of all versions of MLflow.
const TEXT_BYTES: usize = 4_000;
const PARAM_BYTES: usize = 500;

/// The tags that describe the worker of an attempt, as columns of the journal and its workers.
const WORKER: [&str; 7] = ["worker", "host", "device", "model", "software", "libtorch", "cuda"];

/// The name of the sweep, from its grid file.
pub(in super::super) fn sweep_name(run_dir: &Path) -> anyhow::Result<String> {
    let path = run_dir.join("grid.toml");
    let shown = path.display().to_string();
    let text = fs::read_to_string(&path).or_problem(
        || problem!("cannot read `{shown}`"; "name MLflow's experiment with --experiment"),
    )?;
    Ok(Grid::parse(&shown, &text, u64::MAX)?.name)
}

/// Runs by what the upload did with them.
#[derive(Debug, Default)]
struct Counts {
    new: usize,
    updated: usize,
    same: usize,
    deleted: usize,
}

impl Counts {
    fn describe(&self) -> String {
        let Self { new, updated, same, deleted } = self;
        let skipped = match deleted {
            0 => String::new(),
            deleted => format!(
                ", {deleted} skipped because they were deleted there (`mlflow runs restore` \
                 restores them)"
            ),
        };
        format!("{new} new runs, {updated} updated, {same} unchanged{skipped}")
    }
}

#[derive(Default)]
struct KnownRun {
    id: String,
    attempt: i64,
    /// The last step that was sent, by metric.
    points: BTreeMap<String, i64>,
    state: String,
    /// Whether somebody deleted it on the server; then it stays deleted.
    deleted: bool,
}

/// Sends all trials that have begun to the experiment of that name; returns a summary.
pub(in super::super) fn upload(
    reader: &Store,
    url: &str,
    experiment: &str,
) -> anyhow::Result<String> {
    let client = Client::new(url)?;
    let id = open_experiment(&client, experiment)?;
    let mut known = known_runs(&client, &id)?;
    let upload = Upload { reader, client, experiment: id };
    let mut counts = Counts::default();
    // One by one: no read of the database may last as long as requests to a slow server.
    for number in Trial::numbers(reader)? {
        let Some(trial) = Trial::read(reader, number)? else { continue };
        let run = known.remove(&trial.id);
        upload
            .update(&trial, run, &mut counts)
            .with_context(|| format!("trial `{}`, after {}", trial.id, counts.describe()))?;
    }
    Ok(format!("MLflow experiment `{experiment}` at {url}: {}", counts.describe()))
}

fn id(answer: &Value, of: &str) -> anyhow::Result<String> {
    let id = answer.as_str().or_problem(
        || problem!("the MLflow server returns no id of {of}"; "is it one of version 1.0 or newer?"),
    )?;
    Ok(id.to_owned())
}

/// The id of the experiment of that name, which is created if necessary.
fn open_experiment(client: &Client, name: &str) -> anyhow::Result<String> {
    let id = |answer: &Value| id(&answer["experiment_id"], &format!("experiment `{name}`"));
    match client.get("experiments/get-by-name", ("experiment_name", name))? {
        None => id(&client.post("experiments/create", &json!({ "name": name }))?),
        Some(answer) if answer["experiment"]["lifecycle_stage"] == "deleted" => bail!(problem!(
            "experiment `{name}` of the MLflow server is deleted";
            "restore it (`mlflow experiments restore`), or name another with --experiment"
        )),
        Some(answer) => id(&answer["experiment"]),
    }
}

/// The runs of an experiment by trial. A request that was answered too late and sent again may have
/// made two runs of one trial; the earlier one is deleted. A deleted run counts only without
/// another.
fn known_runs(client: &Client, experiment: &str) -> anyhow::Result<HashMap<String, KnownRun>> {
    let mut known = HashMap::new();
    let mut body = json!({
        "experiment_ids": [experiment],
        "max_results": 1000,
        "run_view_type": "ALL",
        "order_by": ["attributes.start_time ASC"],
    });
    loop {
        let answer = client.post("runs/search", &body)?;
        for run in answer["runs"].as_array().into_iter().flatten() {
            let tags = run["data"]["tags"].as_array().into_iter().flatten();
            let tags: HashMap<_, _> = tags
                .filter_map(|tag| Some((tag["key"].as_str()?, tag["value"].as_str()?)))
                .collect();
            let (Some(trial), Some(id)) = (tags.get(TRIAL), run["info"]["run_id"].as_str()) else {
                continue;
            };
            let deleted = run["info"]["lifecycle_stage"] == "deleted";
            if deleted && (tags.contains_key(REPLACED) || known.contains_key(*trial)) {
                continue;
            }
            let text = |name: &str| tags.get(name).copied().unwrap_or_default();
            let run = KnownRun {
                id: id.to_owned(),
                attempt: text(ATTEMPT).parse().unwrap_or(0),
                points: serde_json::from_str(text(POINTS)).unwrap_or_default(),
                state: text(STATE).to_owned(),
                deleted,
            };
            let former = known.insert((*trial).to_owned(), run);
            if let Some(former) = former.filter(|former| !former.deleted) {
                delete(client, &former.id)?;
            }
        }
        match answer["next_page_token"].as_str() {
            None | Some("") => return Ok(known),
            Some(page) => body["page_token"] = page.into(),
        }
    }
}

/// Deletes a run that another one replaces, with a tag that tells it from runs deleted by people.
fn delete(client: &Client, run: &str) -> anyhow::Result<()> {
    client.post("runs/set-tag", &json!({ "run_id": run, "key": REPLACED, "value": "true" }))?;
    client.post("runs/delete", &json!({ "run_id": run }))?;
    Ok(())
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

fn tag(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": text::beginning(value, TEXT_BYTES) })
}

/// The axes by their names in grid files, and all other settings by their paths in the trial.
fn params(trial: &Trial) -> anyhow::Result<Vec<Value>> {
    let mut all = Map::new();
    all.insert("seed".to_owned(), trial.seed.into());
    all.extend(trial.axes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    flatten("", &serde_json::from_str(&trial.settings)?, &mut all);
    let param = |(key, value): (String, Value)| {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        json!({ "key": key, "value": text::beginning(&shown, PARAM_BYTES) })
    };
    Ok(all.into_iter().map(param).collect())
}

fn flatten(path: &str, value: &Value, all: &mut Map<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, all);
            }
        }
        Value::Null => {}
        // An axis of the same name is there already.
        value => {
            all.entry(path).or_insert_with(|| value.clone());
        }
    }
}

struct Upload<'r> {
    reader: &'r Store,
    client: Client,
    /// Its id.
    experiment: String,
}

impl Upload<'_> {
    /// Creates or updates the run of a trial.
    fn update(
        &self,
        trial: &Trial,
        known: Option<KnownRun>,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        match known {
            // A former attempt may have a run; the next attempt will replace it.
            _ if trial.state == TrialState::Pending => {}
            Some(run) if run.deleted => counts.deleted += 1,
            Some(run) if run.attempt == trial.attempt => {
                if run.state == trial.state.name() && trial.state != TrialState::Leased {
                    counts.same += 1;
                } else {
                    self.send(trial, &run)?;
                    counts.updated += 1;
                }
            }
            other => {
                // MLflow cannot remove points from a run, so the new attempt needs a new one.
                other.iter().try_for_each(|run| delete(&self.client, &run.id))?;
                let run = self.create(trial)?;
                self.send(trial, &run)?;
                counts.new += 1;
            }
        }
        Ok(())
    }

    fn log(&self, run: &KnownRun, mut items: Value) -> anyhow::Result<()> {
        items["run_id"] = run.id.as_str().into();
        self.client.post("runs/log-batch", &items).map(drop)
    }

    fn create(&self, trial: &Trial) -> anyhow::Result<KnownRun> {
        let mut tags = vec![
            tag(TRIAL, &trial.id),
            tag(ATTEMPT, &trial.attempt.to_string()),
            tag("swfn.cell", &trial.cell),
        ];
        let sql = "SELECT * FROM event JOIN worker ON worker.id = event.worker
                   WHERE event.trial = ?1 AND event.attempt = ?2 AND kind = 'leased'
                   ORDER BY sequence LIMIT 1";
        self.reader.each(sql, (trial.number, trial.attempt), |row| {
            for name in WORKER {
                let text = row.get::<_, Option<String>>(name)?.filter(|text| !text.is_empty());
                tags.extend(text.map(|text| tag(&format!("swfn.{name}"), &text)));
            }
            Ok(())
        })?;
        let body = json!({
            "experiment_id": self.experiment,
            "run_name": trial.name(),
            "start_time": milliseconds(self.times(trial)?.0),
            "tags": tags,
        });
        let answer = self.client.post("runs/create", &body)?;
        let id = id(&answer["run"]["info"]["run_id"], "a new run")?;
        let run = KnownRun { id, attempt: trial.attempt, ..KnownRun::default() };
        for some in params(trial)?.chunks(PARAMS) {
            self.log(&run, json!({ "params": some }))?;
        }
        Ok(run)
    }

    /// Sends what the server lacks of a run, and then its state.
    fn send(&self, trial: &Trial, run: &KnownRun) -> anyhow::Result<()> {
        let (began, ended) = self.times(trial)?;
        // The database has no times of points. With a fixed time, a point that is sent twice is
        // one.
        let at = milliseconds(ended.unwrap_or(began));
        self.send_points(trial, run, at)?;
        let (mut metrics, mut tags) = (vec![], vec![]);
        if trial.state == TrialState::Succeeded {
            let attempt = (trial.number, trial.attempt);
            let sql = "SELECT metric, value FROM outcome WHERE trial = ?1 AND attempt = ?2";
            metrics = self.reader.all(sql, attempt, |row| {
                let (name, value): (String, f64) = (row.get(0)?, row.get(1)?);
                Ok(json!({ "key": name, "value": value, "timestamp": at, "step": 0 }))
            })?;
            let sql = "SELECT dataset_digest FROM success
                       WHERE trial = ?1 AND attempt = ?2 AND dataset_digest IS NOT NULL";
            tags = self.reader.all(sql, attempt, |row| {
                Ok(tag("swfn.dataset_digest", &row.get::<_, String>(0)?))
            })?;
        }
        if trial.state == TrialState::Quarantined {
            let sql = "SELECT error, log FROM event WHERE trial = ?1 AND error IS NOT NULL
                       ORDER BY sequence DESC LIMIT 1";
            self.reader.each(sql, [trial.number], |row| {
                tags.push(tag("swfn.error", &row.get::<_, String>(0)?));
                let log = row.get::<_, Option<String>>(1)?;
                tags.extend(log.map(|log| tag("swfn.log", text::end(&log, TEXT_BYTES))));
                Ok(())
            })?;
        }
        if !metrics.is_empty() || !tags.is_empty() {
            self.log(run, json!({ "metrics": metrics, "tags": tags }))?;
        }
        let status = match trial.state {
            TrialState::Succeeded => "FINISHED",
            TrialState::Quarantined => "FAILED",
            _ => "RUNNING",
        };
        let mut update = json!({ "run_id": run.id, "status": status });
        if trial.state != TrialState::Leased {
            update["end_time"] = at.into();
        }
        self.client.post("runs/update", &update)?;
        // Last: an upload that reads a final state sends nothing more.
        self.log(run, json!({ "tags": [tag(STATE, trial.state.name())] }))
    }

    /// When the newest attempt began, and when it ended, in seconds since 1970.
    fn times(&self, trial: &Trial) -> anyhow::Result<(f64, Option<f64>)> {
        let sql = "SELECT coalesce(min(at), 0.0), max(CASE WHEN kind <> 'leased' THEN at END)
                   FROM event WHERE trial = ?1 AND attempt = ?2";
        let times = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let rows = self.reader.all(sql, (trial.number, trial.attempt), times)?;
        Ok(rows.first().copied().unwrap_or_default())
    }

    /// Sends the points that the server lacks. A tag in each batch records the last steps.
    fn send_points(&self, trial: &Trial, run: &KnownRun, at: i64) -> anyhow::Result<()> {
        let mut sent = run.points.clone();
        let mut batch = Vec::new();
        let flush = |batch: &mut Vec<Value>, sent: &BTreeMap<String, i64>| {
            if batch.is_empty() {
                return Ok(());
            }
            let tags = [tag(POINTS, &serde_json::to_string(sent)?)];
            self.log(run, json!({ "metrics": mem::take(batch), "tags": tags }))
        };
        for (metric, name) in trial::metrics(self.reader)? {
            loop {
                let room = METRICS - batch.len();
                let last = sent.get(&name).copied().unwrap_or(-1);
                let attempt = (trial.number, trial.attempt);
                let points = trial::points(self.reader, attempt, metric, last, room)?;
                let Some((step, _)) = points.last() else { break };
                sent.insert(name.clone(), *step);
                batch.extend(points.iter().map(|(step, value)| {
                    json!({ "key": name, "value": value, "timestamp": at, "step": step })
                }));
                if points.len() < room {
                    break;
                }
                flush(&mut batch, &sent)?;
            }
        }
        flush(&mut batch, &sent)
    }
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
