//! A record of acknowledgements, compared with the run directory.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use swfn_proto::v1::{self, coordinator_message, worker_message::Kind};

use crate::sweep::database;

type Lease = (String, u32);

/// Reports and their acknowledgements, as they passed the proxy.
#[derive(Debug, Default)]
pub struct Record {
    /// Reports by worker and number.
    reports: BTreeMap<(String, u64), Kind>,
    through: HashMap<String, u64>,
    revoked: HashSet<Lease>,
    /// Reports that were acknowledged before their lease was revoked. They must be on the disk.
    kept: Vec<Kind>,
    /// The number of revocations.
    pub revocations: u64,
    /// The newest report of each worker, including those that were lost with their stream.
    newest: HashMap<String, u64>,
    /// Descriptions of reports that did not come again when they should have.
    forgotten: Vec<String>,
}

/// The debt of a stream: all unacknowledged reports of earlier streams, before anything else.
#[derive(Debug, Clone, Copy)]
pub struct ResentDebt {
    through: u64,
    newest_before: u64,
}

impl Record {
    /// Records a message of a worker.
    pub fn note_report(&mut self, worker: &str, message: &v1::WorkerMessage) {
        if let (1.., Some(kind)) = (message.sequence, &message.kind) {
            self.reports.insert((worker.to_owned(), message.sequence), kind.clone());
        }
    }

    /// Begins another stream of a worker.
    pub fn begin_stream(&self, worker: &str) -> ResentDebt {
        ResentDebt { through: 0, newest_before: self.newest.get(worker).copied().unwrap_or(0) }
    }

    /// Checks a message of a worker that reached the proxy, whether or not it gets through.
    pub fn check_resent(
        &mut self,
        worker: &str,
        message: &v1::WorkerMessage,
        resent: &mut ResentDebt,
    ) {
        let acknowledged = self.through.get(worker).copied().unwrap_or(0);
        let due = resent.through.max(acknowledged) + 1;
        let missing = match message.sequence {
            0 => (due <= resent.newest_before)
                .then(|| format!("report {due}, though another stream goes on")),
            number => (number > due).then(|| format!("report {due}, but report {number}")),
        };
        self.forgotten.extend(missing.map(|what| format!("`{worker}` does not send {what}")));
        resent.through = resent.through.max(message.sequence);
        let newest = self.newest.entry(worker.to_owned()).or_default();
        *newest = message.sequence.max(*newest);
    }

    /// Checks that every lost report came again.
    ///
    /// # Panics
    /// If a report was not sent again on the stream after its own.
    pub fn assert_nothing_forgotten(&self) {
        assert!(self.forgotten.is_empty(), "reports are not sent again: {:?}", self.forgotten);
    }

    /// Whether an answer acknowledges the end of a trial.
    pub fn ends_a_trial(&self, worker: &str, answer: &v1::CoordinatorMessage) -> bool {
        let Some(coordinator_message::Kind::Acknowledge(acknowledge)) = &answer.kind else {
            return false;
        };
        let of_worker = (worker.to_owned(), 0)..=(worker.to_owned(), acknowledge.through);
        self.reports.range(of_worker).any(|(_, kind)| matches!(kind, Kind::Succeeded(_)))
    }

    /// Records an answer to a worker.
    pub fn note_answer(&mut self, worker: &str, answer: &v1::CoordinatorMessage) {
        match &answer.kind {
            Some(coordinator_message::Kind::Revoke(revoke)) => {
                self.revocations += 1;
                self.revoked.extend(revoke.lease.as_ref().map(name));
            }
            Some(coordinator_message::Kind::Acknowledge(acknowledge)) => {
                let through = self.through.entry(worker.to_owned()).or_default();
                let new = (worker.to_owned(), *through + 1)
                    ..=(worker.to_owned(), acknowledge.through.max(*through + 1));
                if acknowledge.through > *through {
                    let live = |kind: &&Kind| {
                        lease(kind).is_some_and(|lease| !self.revoked.contains(&lease))
                    };
                    self.kept.extend(
                        self.reports.range(new).map(|(_, kind)| kind).filter(live).cloned(),
                    );
                    *through = acknowledge.through;
                }
            }
            _ => {}
        }
    }

    /// Returns the number of reports that were acknowledged before their lease was revoked.
    pub fn acknowledged(&self) -> u64 {
        self.kept.len() as u64
    }

    /// Looks up each acknowledged report in the run directory. Returns their number.
    ///
    /// # Panics
    /// If any is missing, with a list of these, or if one was not sent again.
    pub fn check(&self, run_dir: &Path) -> u64 {
        self.assert_nothing_forgotten();
        if self.kept.is_empty() {
            return 0;
        }
        let lost = |error: rusqlite::Error| -> rusqlite::Connection {
            panic!(
                "acknowledged and lost: all {} reports; there is no database: {error}",
                self.kept.len()
            )
        };
        // The file may exist without its content.
        let opened = database(run_dir).and_then(|database| {
            database.query_row("SELECT count(*) FROM trial", [], |_| Ok(()))?;
            Ok(database)
        });
        let database = opened.unwrap_or_else(lost);
        let rows = |sql: &str, columns: usize| -> HashSet<String> {
            let mut query = database.prepare(sql).expect("the database can be read");
            let row = |row: &rusqlite::Row<'_>| {
                let cells: Result<Vec<String>, _> =
                    (0..columns).map(|column| cell(row, column)).collect();
                cells.map(|cells| cells.join(" "))
            };
            let rows = query.query_map([], row).and_then(Iterator::collect);
            rows.expect("the database can be read")
        };
        let points = rows(
            "SELECT trial.id, point.attempt, metric.name, step, value FROM point
             JOIN trial ON trial.number = point.trial JOIN metric ON metric.number = point.metric",
            5,
        );
        let ends = rows(
            "SELECT trial.id, event.attempt, kind FROM event JOIN trial ON trial.number = event.trial",
            3,
        );
        let results = rows(
            "SELECT trial.id, result.attempt, final_test_accuracy FROM result JOIN trial ON trial.number = result.trial",
            3,
        );
        let mut missing = Vec::new();
        for kind in &self.kept {
            let (trial, attempt) = lease(kind).expect("reports have leases");
            let mut need = |there: bool, what: String| missing.extend((!there).then_some(what));
            match kind {
                Kind::Points(report) => {
                    for point in &report.points {
                        let v1::MetricPoint { metric, step, value } = point;
                        let row = format!("{trial} {attempt} {metric} {step} {value}");
                        need(points.contains(&row), format!("point {row}"));
                    }
                }
                Kind::Succeeded(report) => {
                    let accuracy = report
                        .outcome
                        .iter()
                        .find(|value| value.name == "final_test_accuracy")
                        .map_or(0.0, |value| value.value);
                    let row = format!("{trial} {attempt} {accuracy}");
                    need(results.contains(&row), format!("result {row}"));
                }
                Kind::Failed(_) => {
                    need(
                        ends.contains(&format!("{trial} {attempt} failed")),
                        format!("failure {trial} {attempt}"),
                    );
                }
                Kind::Released(_) => {
                    need(
                        ends.contains(&format!("{trial} {attempt} released")),
                        format!("release {trial} {attempt}"),
                    );
                }
                // A file is recorded once all of its parts have arrived.
                Kind::Artifact(part) if part.offset + part.content.len() as u64 == part.size => {
                    let file = run_dir.join("artifacts").join(&trial).join(&part.name);
                    let there = fs::metadata(&file).is_ok_and(|file| file.len() == part.size);
                    need(there, format!("file {}", file.display()));
                }
                _ => {}
            }
        }
        assert!(missing.is_empty(), "acknowledged and lost: {missing:#?}");
        self.kept.len() as u64
    }
}

/// Reads a number or a text.
fn cell(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<String> {
    use rusqlite::types::ValueRef;
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        other => String::from_utf8_lossy(other.as_bytes()?).into_owned(),
    })
}

fn name(lease: &v1::LeaseId) -> Lease {
    (lease.trial.clone(), lease.attempt)
}

/// Returns the lease of a report.
fn lease(kind: &Kind) -> Option<Lease> {
    let lease = match kind {
        Kind::Points(report) => &report.lease,
        Kind::Artifact(report) => &report.lease,
        Kind::Succeeded(report) => &report.lease,
        Kind::Failed(report) => &report.lease,
        Kind::Released(report) => &report.lease,
        Kind::Hello(_) | Kind::Ask(_) | Kind::Heartbeat(_) | Kind::Goodbye(_) => &None,
    };
    lease.as_ref().map(name)
}
