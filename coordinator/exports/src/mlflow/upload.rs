//! Trials as runs: one for each that has begun, found again by its tag, brought up to date, never doubled.

use std::{
    collections::{BTreeMap, HashMap},
    fs, mem,
    path::Path,
};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use swfn_shared::{
    grid::Grid, metrics::OUTCOMES, problem, problem::OrProblem as _, state::TrialState, text,
};
use swfn_store::Store;

use super::{super::trial::Trial, client::Client};

/// Tags by which a run is found again, and that say how far it has come.
const TRIAL: &str = "swfn.trial";
const ATTEMPT: &str = "swfn.attempt";
const POINTS: &str = "swfn.points";
const STATE: &str = "swfn.state";
/// On a run that was deleted from here, because of another one of its trial.
const REPLACED: &str = "swfn.replaced";

/// What goes into one request: MLflow takes 1000 things, tags included, of which 100 may be parameters.
const METRICS: usize = 900;
const PARAMS: usize = 100;

/// Texts are cut here, below what any version of MLflow takes as a tag or a parameter.
const TEXT_BYTES: usize = 4_000;
const PARAM_BYTES: usize = 500;

/// The name of the sweep, from its grid file.
pub(in super::super) fn sweep_name(run_dir: &Path) -> anyhow::Result<String> {
    let path = run_dir.join("grid.toml");
    let shown = path.display().to_string();
    let text = fs::read_to_string(&path).or_problem(
        || problem!("cannot read `{shown}`"; "name MLflow's experiment with --experiment"),
    )?;
    Ok(Grid::parse(&shown, &text, u64::MAX)?.name)
}

/// What became of the trials.
#[derive(Debug, Default)]
struct Counts {
    new: usize,
    updated: usize,
    same: usize,
    deleted: usize,
}

/// A run that the server has.
struct Known {
    run: String,
    attempt: i64,
    /// Of each metric, the last step that was sent.
    points: BTreeMap<String, i64>,
    state: String,
    /// Somebody has deleted it on the server, so it stays so.
    deleted: bool,
}

/// Sends all trials that have begun to the experiment of that name; tells what was sent.
pub(in super::super) fn upload(
    reader: &Store,
    url: &str,
    experiment: &str,
) -> anyhow::Result<String> {
    let client = Client::new(url)?;
    let id = open_experiment(&client, experiment)?;
    let mut known = known_runs(&client, &id)?;
    let mut counts = Counts::default();
    // One by one: a server may be slow, and nothing is to be read in one go for as long as that takes.
    for number in Trial::numbers(reader)? {
        let Some(trial) = Trial::read(reader, number)? else { continue };
        let run = known.remove(&trial.id);
        one(reader, &client, &id, &trial, run, &mut counts)
            .with_context(|| format!("trial `{}`, after {}", trial.id, told(&counts)))?;
    }
    Ok(format!("MLflow experiment `{experiment}` at {url}: {}", told(&counts)))
}

/// Brings one trial up to date.
fn one(
    reader: &Store,
    client: &Client,
    experiment: &str,
    trial: &Trial,
    known: Option<Known>,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    // One that waits has nothing to show; its former attempt may have, and is replaced by the next.
    if trial.state == TrialState::Pending {
        return Ok(());
    }
    match known {
        Some(run) if run.deleted => counts.deleted += 1,
        Some(run) if run.attempt == trial.attempt => {
            if run.state == trial.state.name() && trial.state != TrialState::Leased {
                counts.same += 1;
                return Ok(());
            }
            send(reader, client, trial, &run)?;
            counts.updated += 1;
        }
        other => {
            if let Some(run) = other {
                // Points of a run cannot be taken back.
                replace(client, &run.run)?;
            }
            let run = create(reader, client, experiment, trial)?;
            send(reader, client, trial, &run)?;
            counts.new += 1;
        }
    }
    Ok(())
}

fn told(Counts { new, updated, same, deleted }: &Counts) -> String {
    let skipped = match deleted {
        0 => String::new(),
        deleted => {
            format!(
                ", {deleted} left out because they were deleted there (`mlflow runs restore` brings them back)"
            )
        }
    };
    format!("{new} new runs, {updated} brought up to date, {same} there already{skipped}")
}

/// The id of the experiment of that name, which is made if it is not there.
fn open_experiment(client: &Client, name: &str) -> anyhow::Result<String> {
    let id = |answer: &Value| match answer["experiment_id"].as_str() {
        Some(id) => Ok(id.to_owned()),
        None => bail!(problem!(
            "the MLflow server names no id of experiment `{name}`";
            "is it one of version 1.0 or newer?"
        )),
    };
    match client.get("experiments/get-by-name", ("experiment_name", name))? {
        None => id(&client.post("experiments/create", &json!({ "name": name }))?),
        Some(answer) if answer["experiment"]["lifecycle_stage"] == "deleted" => bail!(problem!(
            "experiment `{name}` of the MLflow server is deleted";
            "restore it (`mlflow experiments restore`), or name another with --experiment"
        )),
        Some(answer) => id(&answer["experiment"]),
    }
}

/// The runs of the experiment that are trials. Where a request was answered too late and sent again, there may be two of one trial: one of
/// them goes. One that somebody has deleted is known as long as there is no other.
fn known_runs(client: &Client, experiment: &str) -> anyhow::Result<HashMap<String, Known>> {
    let mut known = HashMap::new();
    let mut page = Value::Null;
    loop {
        let mut body = json!({ "experiment_ids": [experiment], "max_results": 1000, "run_view_type": "ALL", "order_by": ["attributes.start_time ASC"] });
        if page.is_string() {
            body["page_token"] = page;
        }
        let answer = client.post("runs/search", &body)?;
        for run in answer["runs"].as_array().into_iter().flatten() {
            let tags = run["data"]["tags"].as_array().into_iter().flatten();
            let tags: HashMap<_, _> = tags
                .filter_map(|tag| Some((tag["key"].as_str()?, tag["value"].as_str()?)))
                .collect();
            let (Some(trial), Some(id)) = (tags.get(TRIAL), run["info"]["run_id"].as_str()) else {
                continue;
            };
            let attempt = tags.get(ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(0);
            let points = tags
                .get(POINTS)
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default();
            let state = tags.get(STATE).map(|state| (*state).to_owned()).unwrap_or_default();
            let deleted = run["info"]["lifecycle_stage"] == "deleted";
            if deleted && (tags.contains_key(REPLACED) || known.contains_key(*trial)) {
                continue;
            }
            let run = Known { run: id.to_owned(), attempt, points, state, deleted };
            if let Some(twice) =
                known.insert((*trial).to_owned(), run).filter(|twice| !twice.deleted)
            {
                replace(client, &twice.run)?;
            }
        }
        page = answer["next_page_token"].clone();
        if page.as_str().is_none_or(str::is_empty) {
            return Ok(known);
        }
    }
}

/// Deletes a run in whose place another one is or comes: nobody who looks for what people have deleted shall find it.
fn replace(client: &Client, run: &str) -> anyhow::Result<()> {
    client.post("runs/set-tag", &json!({ "run_id": run, "key": REPLACED, "value": "true" }))?;
    client.post("runs/delete", &json!({ "run_id": run }))?;
    Ok(())
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

fn create(
    reader: &Store,
    client: &Client,
    experiment: &str,
    trial: &Trial,
) -> anyhow::Result<Known> {
    let sql = "SELECT event.at, worker.id, host, device, model, software, libtorch, cuda FROM event
               LEFT JOIN worker ON worker.id = event.worker
               WHERE event.trial = ?1 AND event.attempt = ?2 AND kind = 'leased' ORDER BY sequence LIMIT 1";
    let mut began = 0.0;
    let mut tags = vec![
        tag(TRIAL, &trial.id),
        tag(ATTEMPT, &trial.attempt.to_string()),
        tag("swfn.cell", &trial.cell),
    ];
    reader.each(sql, (trial.number, trial.attempt), |row| {
        began = row.get(0)?;
        for (index, name) in
            ["worker", "host", "device", "model", "software", "libtorch", "cuda"].iter().enumerate()
        {
            if let Some(text) =
                row.get::<_, Option<String>>(index + 1)?.filter(|text| !text.is_empty())
            {
                tags.push(tag(&format!("swfn.{name}"), &text));
            }
        }
        Ok(())
    })?;
    let body = json!({
        "experiment_id": experiment,
        "run_name": trial.name(),
        "start_time": milliseconds(began),
        "tags": tags,
    });
    let answer = client.post("runs/create", &body)?;
    let Some(run) = answer["run"]["info"]["run_id"].as_str() else {
        bail!(problem!(
            "the MLflow server names no id of a new run";
            "is it one of version 1.0 or newer?"
        ))
    };
    let params = params(trial)?;
    for some in params.chunks(PARAMS) {
        client.post("runs/log-batch", &json!({ "run_id": run, "params": some }))?;
    }
    Ok(Known {
        run: run.to_owned(),
        attempt: trial.attempt,
        points: BTreeMap::new(),
        state: String::new(),
        deleted: false,
    })
}

fn tag(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": text::beginning(value, TEXT_BYTES) })
}

/// The point of the grid by the names of grid files, and all other settings by their places in the specification.
fn params(trial: &Trial) -> anyhow::Result<Vec<Value>> {
    let mut all = Map::new();
    all.insert("seed".to_owned(), trial.seed.into());
    all.extend(trial.axes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    flatten("", &serde_json::from_str(&trial.settings)?, &mut all);
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let param = |(key, value): (&String, &Value)| json!({ "key": key, "value": text::beginning(&shown(value), PARAM_BYTES) });
    Ok(all.iter().map(param).collect())
}

fn flatten(place: &str, value: &Value, all: &mut Map<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                flatten(&place, value, all);
            }
        }
        Value::Null => {}
        // What the grid calls by a name of its own is there already.
        value => {
            all.entry(place).or_insert_with(|| value.clone());
        }
    }
}

/// Sends what the server does not have of a run, and then how it stands.
fn send(reader: &Store, client: &Client, trial: &Trial, known: &Known) -> anyhow::Result<()> {
    let (began, ended) = times(reader, trial)?;
    let run = known.run.as_str();
    // Nobody wrote down when a point came. A time that does not change makes a point that is sent twice the same point.
    let at = milliseconds(ended.unwrap_or(began));
    send_points(reader, client, trial, known, at)?;
    let mut tags = vec![];
    let mut metrics = vec![];
    if trial.state == TrialState::Succeeded {
        let names: Vec<&str> = OUTCOMES.iter().map(|metric| metric.name).collect();
        let sql = format!(
            "SELECT {}, dataset_digest FROM result WHERE trial = ?1 AND attempt = ?2",
            names.join(", ")
        );
        reader.each(&sql, (trial.number, trial.attempt), |row| {
            for (index, name) in names.iter().enumerate() {
                // Not all trials have validation images.
                let value = row.get::<_, Option<f64>>(index)?;
                metrics.extend(value.map(
                    |value| json!({ "key": name, "value": value, "timestamp": at, "step": 0 }),
                ));
            }
            tags.extend(
                row.get::<_, Option<String>>(names.len())?
                    .map(|digest| tag("swfn.dataset_digest", &digest)),
            );
            Ok(())
        })?;
    }
    if trial.state == TrialState::Quarantined {
        let sql = "SELECT error, log FROM event WHERE trial = ?1 AND error IS NOT NULL ORDER BY sequence DESC LIMIT 1";
        reader.each(sql, [trial.number], |row| {
            tags.extend(row.get::<_, Option<String>>(0)?.map(|error| tag("swfn.error", &error)));
            let log = row.get::<_, Option<String>>(1)?;
            tags.extend(log.map(|log| tag("swfn.log", text::end(&log, TEXT_BYTES))));
            Ok(())
        })?;
    }
    // Last, since whoever reads that a trial has ended sends nothing more.
    if !metrics.is_empty() || !tags.is_empty() {
        client
            .post("runs/log-batch", &json!({ "run_id": run, "metrics": metrics, "tags": tags }))?;
    }
    let status = match trial.state {
        TrialState::Succeeded => "FINISHED",
        TrialState::Quarantined => "FAILED",
        _ => "RUNNING",
    };
    let mut update = json!({ "run_id": run, "status": status });
    if trial.state != TrialState::Leased {
        update["end_time"] = at.into();
    }
    client.post("runs/update", &update)?;
    client.post(
        "runs/log-batch",
        &json!({ "run_id": run, "tags": [tag(STATE, trial.state.name())] }),
    )?;
    Ok(())
}

/// When the newest attempt began, and when it ended, if it has.
fn times(reader: &Store, trial: &Trial) -> anyhow::Result<(f64, Option<f64>)> {
    let sql = "SELECT min(at), max(CASE WHEN kind <> 'leased' THEN at END) FROM event WHERE trial = ?1 AND attempt = ?2";
    let row =
        |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<f64>>(0)?.unwrap_or(0.0), row.get(1)?));
    Ok(reader.all(sql, (trial.number, trial.attempt), row)?.pop().unwrap_or((0.0, None)))
}

/// Sends the points that the server does not have. A tag that goes with them says how far that is.
fn send_points(
    reader: &Store,
    client: &Client,
    trial: &Trial,
    known: &Known,
    at: i64,
) -> anyhow::Result<()> {
    let metrics: Vec<(i64, String)> =
        reader.all("SELECT number, name FROM metric ORDER BY number", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let mut sent = known.points.clone();
    let mut batch = Vec::new();
    let flush = |batch: &mut Vec<Value>, sent: &BTreeMap<String, i64>| -> anyhow::Result<()> {
        if !batch.is_empty() {
            let tags = [tag(POINTS, &serde_json::to_string(sent)?)];
            client.post(
                "runs/log-batch",
                &json!({ "run_id": known.run, "metrics": mem::take(batch), "tags": tags }),
            )?;
        }
        Ok(())
    };
    for (number, name) in metrics {
        loop {
            let sql = "SELECT step, value FROM point
                       WHERE trial = ?1 AND attempt = ?2 AND metric = ?3 AND step > ?4 ORDER BY step LIMIT ?5";
            let room = METRICS - batch.len();
            let last = sent.get(&name).copied().unwrap_or(-1);
            let parameters = (trial.number, trial.attempt, number, last, room as i64);
            let points: Vec<(i64, f64)> =
                reader.all(sql, parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
            let Some((step, _)) = points.last() else { break };
            sent.insert(name.clone(), *step);
            batch.extend(
                points
                    .iter()
                    .map(|(step, value)| json!({ "key": name, "value": value, "timestamp": at, "step": step })),
            );
            if points.len() < room {
                break;
            }
            flush(&mut batch, &sent)?;
        }
    }
    flush(&mut batch, &sent)
}

#[cfg(test)]
mod tests {
    use super::super::client_tests::{client, server};
    use super::*;

    #[test]
    fn runs_that_people_have_deleted_stay_deleted_and_those_that_were_replaced_do_not_count() {
        let (url, asked) = server(&[
            r#"200 {"runs": [
                {"info": {"run_id": "1"}, "data": {"tags": [{"key": "swfn.trial", "value": "a"}, {"key": "swfn.attempt", "value": "1"}]}},
                {"info": {"run_id": "2", "lifecycle_stage": "active"}, "data": {"tags": [{"key": "swfn.trial", "value": "a"}, {"key": "swfn.attempt", "value": "2"}]}},
                {"info": {"run_id": "3", "lifecycle_stage": "deleted"}, "data": {"tags": [{"key": "swfn.trial", "value": "b"}, {"key": "swfn.attempt", "value": "1"}]}},
                {"info": {"run_id": "4", "lifecycle_stage": "deleted"}, "data": {"tags": [{"key": "swfn.trial", "value": "c"}, {"key": "swfn.replaced", "value": "true"}]}},
                {"info": {"run_id": "5", "lifecycle_stage": "deleted"}, "data": {"tags": [{"key": "swfn.trial", "value": "a"}, {"key": "swfn.attempt", "value": "3"}]}},
                {"info": {"run_id": "6", "lifecycle_stage": "deleted"}, "data": {"tags": [{"key": "swfn.trial", "value": "d"}]}},
                {"info": {"run_id": "7", "lifecycle_stage": "active"}, "data": {"tags": [{"key": "swfn.trial", "value": "d"}]}}]}"#,
            "200 {}",
            "200 {}",
        ]);
        let known = known_runs(&client(&url, &[]).unwrap(), "e").unwrap();
        let of = |trial: &str| known.get(trial).map(|run| (run.run.as_str(), run.deleted));
        assert_eq!(
            (of("a"), of("b"), of("c"), of("d")),
            (Some(("2", false)), Some(("3", true)), None, Some(("7", false)))
        );
        let asked = asked.join().unwrap();
        assert!(asked[0].contains(r#""run_view_type":"ALL""#), "{}", asked[0]);
        assert!(
            asked[1].contains("runs/set-tag") && asked[1].contains("swfn.replaced"),
            "{}",
            asked[1]
        );
        assert!(
            asked[2].contains("runs/delete") && asked[2].contains(r#""run_id":"1""#),
            "{}",
            asked[2]
        );
        let counts = Counts { deleted: 2, ..Counts::default() };
        assert!(told(&counts).contains("2 left out because they were deleted there"));
    }
}
