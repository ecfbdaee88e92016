//! Checks the messages of workers and turns them into messages of the turn, and its replies back.

use swfn_proto::v1::{self, coordinator_message, worker_message::Kind};
use swfn_scheduler::{
    FailureKind, LeaseReport, Predecessor,
    turn::{FromWorker, Hello, Holder, Reply},
};
use swfn_shared::{
    capacity::Capacity,
    ids::{IdError, LeaseId, TRAINER_REVISION},
    quote::for_terminal,
    text,
    trial::TrialSpec,
    wire::{self, MAX_LANES, MAX_LOG_BYTES, MAX_NAMED, MAX_POINTS, PROTOCOL, WireError},
};
use swfn_store::WorkerRow;
use tonic::Status;

/// Bytes of a peer's text that are kept, so that no error message fills the disk.
pub(crate) const MAX_TEXT: usize = 4_096;

/// Bytes of a name or a version.
const MAX_LABEL: usize = 256;

fn label(text: String) -> String {
    cut(&text, MAX_LABEL).replace(['\n', '\t'], " ")
}

/// The beginning of a text, made printable, with a note of its length if it is cut.
fn cut(text: &str, most: usize) -> String {
    let shown = for_terminal(text::beginning(text, most));
    if text.len() <= most {
        return shown;
    }
    let note = format!(" [of {} bytes]", text.len());
    text::beginning(&shown, most - note.len()).to_owned() + &note
}

/// The end of a log, which matters more than its beginning.
fn log(log: String) -> String {
    for_terminal(text::end(&log, MAX_LOG_BYTES))
}

/// Refuses lists that would keep the actor busy for long, or fill the memory while they wait.
fn at_most(limit: usize, count: usize, field: &'static str) -> Result<(), WireError> {
    let problem = || wire::wrong(field, format!("`{count}` are more than {limit}"));
    if count <= limit { Ok(()) } else { Err(problem()) }
}

fn invalid(error: impl ToString) -> Status {
    Status::invalid_argument(error.to_string())
}

/// The first message of a stream: the greeting, and the worker's row in the store.
pub(crate) fn hello(
    message: v1::WorkerMessage,
    holder: Holder,
) -> Result<(Hello, WorkerRow), Status> {
    let Some(Kind::Hello(hello)) = message.kind else {
        return Err(Status::failed_precondition("a stream begins with `hello`"));
    };
    let problem = match (hello.protocol, hello.trainer_revision) {
        (PROTOCOL, TRAINER_REVISION) => None,
        (PROTOCOL, revision) => Some(format!(
            "worker has trainer revision `{revision}`, this coordinator files results under \
             revision {TRAINER_REVISION}"
        )),
        (other, _) => {
            Some(format!("worker speaks protocol `{other}`, this coordinator {PROTOCOL}"))
        }
    };
    if let Some(problem) = problem {
        let hint = "hint: run the same version of swfn on both sides";
        return Err(Status::failed_precondition(format!("{problem}\n{hint}")));
    }
    let id = |text: &str| text.parse().map_err(|error: IdError| invalid(error));
    at_most(MAX_NAMED, hello.held.len(), "hello.held").map_err(invalid)?;
    let device = hello.device.ok_or_else(|| invalid(wire::missing("hello.device")))?;
    let row = WorkerRow {
        id: id(&hello.worker)?,
        host: label(hello.host),
        device: label(device.name),
        model: label(device.model),
        threads: Some(device.threads),
        cuda: Some(label(device.cuda_version)),
        software: label(hello.software_version),
        libtorch: label(hello.libtorch_version),
        certificate: holder.certificate(),
    };
    let predecessor = match hello.predecessor {
        None => None,
        Some(worker) => Some(Predecessor {
            worker: id(&worker)?,
            end: label(hello.predecessor_end),
            log: log(hello.predecessor_log),
            innocent: hello.predecessor_innocent,
        }),
    };
    let held: Result<_, WireError> = hello.held.into_iter().map(TryInto::try_into).collect();
    let held = held.map_err(invalid)?;
    Ok((Hello { worker: row.id.clone(), holder, predecessor, held }, row))
}

/// A report of a lease. Without a valid lease the stream ends; other faults cost the attempt.
fn report(
    lease: Option<v1::LeaseId>,
    content: impl FnOnce(LeaseId) -> anyhow::Result<FromWorker>,
) -> anyhow::Result<FromWorker> {
    let lease = wire::lease(lease)?;
    Ok(content(lease)
        .unwrap_or_else(|error| FromWorker::Refused { lease, problem: error.to_string() }))
}

/// A later message: its sequence number and its content.
pub(crate) fn message(message: v1::WorkerMessage) -> Result<(u64, FromWorker), Status> {
    // Without a kind, it is one of a newer worker. If it were refused, it would be sent again.
    let content = message.kind.map_or(Ok(FromWorker::Unknown), content).map_err(invalid)?;
    Ok((message.sequence, content))
}

fn content(kind: Kind) -> anyhow::Result<FromWorker> {
    Ok(match kind {
        Kind::Hello(_) => anyhow::bail!("`hello` comes once, at the beginning"),
        Kind::Ask(ask) => {
            at_most(MAX_NAMED, ask.vaes.len(), "ask.vaes")?;
            let capacity = Capacity::try_from(ask)?;
            FromWorker::Ask(Capacity { lanes: capacity.lanes.min(MAX_LANES), ..capacity })
        }
        Kind::Heartbeat(heartbeat) => {
            at_most(MAX_NAMED, heartbeat.progress.len(), "heartbeat.progress")?;
            let progress = |v1::Progress { lease, step, waits }| {
                Ok((wire::lease(lease)?, LeaseReport::Progressed { step, waits }))
            };
            let reports: Result<_, WireError> =
                heartbeat.progress.into_iter().map(progress).collect();
            FromWorker::Reports(reports?)
        }
        Kind::Points(v1::Points { lease, points, log }) => report(lease, |lease| {
            at_most(MAX_POINTS, points.len(), "points")?;
            let points: Result<_, WireError> = points.into_iter().map(TryInto::try_into).collect();
            let log = log.map(TryInto::try_into).transpose()?;
            Ok(FromWorker::Points { lease, points: points?, log })
        })?,
        Kind::Artifact(mut part) => report(part.lease.take(), |lease| {
            Ok(FromWorker::Artifact { lease, part: part.try_into()? })
        })?,
        Kind::Succeeded(v1::Succeeded { lease, outcome, dataset_digest }) => {
            report(lease, |lease| {
                let outcome = wire::outcome(&outcome)?;
                let wrong = |error: IdError| wire::wrong("dataset_digest", error);
                let dataset_digest = dataset_digest.parse().map_err(wrong)?;
                Ok(FromWorker::Succeeded { lease, outcome, dataset_digest })
            })?
        }
        Kind::Failed(failed) => {
            let kind = match failed.kind() {
                v1::FailureKind::Diverged => FailureKind::Diverged,
                v1::FailureKind::Error | v1::FailureKind::Unspecified => FailureKind::Error,
            };
            let (error, log) = (cut(&failed.message, MAX_TEXT), log(failed.log));
            let report = LeaseReport::Failed { kind, error, log };
            FromWorker::Reports(vec![(wire::lease(failed.lease)?, report)])
        }
        Kind::Released(released) => {
            FromWorker::Reports(vec![(wire::lease(released.lease)?, LeaseReport::Released)])
        }
        Kind::Goodbye(_) => FromWorker::Goodbye,
    })
}

/// A reply of the turn as a message, or the status that ends the stream.
pub(crate) fn reply(reply: Reply) -> Result<v1::CoordinatorMessage, Status> {
    use coordinator_message::Kind;
    let kind = match reply {
        Reply::Grant { leases, artifacts } => {
            let lease = |(id, spec): (LeaseId, TrialSpec)| v1::Lease {
                id: Some(id.into()),
                spec: spec.to_json(),
                artifacts: Some(artifacts),
            };
            Kind::Grant(v1::Grant { leases: leases.into_iter().map(lease).collect() })
        }
        Reply::Acknowledge { through } => Kind::Acknowledge(v1::Acknowledge { through }),
        Reply::Confirm { leases } => {
            Kind::Confirm(v1::Confirm { leases: leases.into_iter().map(Into::into).collect() })
        }
        Reply::Revoke { lease, reason } => {
            Kind::Revoke(v1::Revoke { lease: Some(lease.into()), reason })
        }
        Reply::Drain { reason, finished } => Kind::Drain(v1::Drain { reason, finished }),
        Reply::Deny { reason } => return Err(Status::permission_denied(reason)),
        Reply::Refuse { reason } => return Err(Status::invalid_argument(reason)),
    };
    Ok(v1::CoordinatorMessage { kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use swfn_shared::metrics::Outcome;

    use super::*;

    #[test]
    fn text_of_a_peer_is_short_and_printable() {
        assert_eq!(cut("a\u{1b}[2J\nb\tc\u{9b}", MAX_TEXT), "a?[2J\nb\tc??");
        for long in [
            "ä".repeat(MAX_TEXT),
            "\u{1b}".repeat(MAX_TEXT + 1),
            format!("a{}", "ä".repeat(MAX_TEXT)),
        ] {
            let (bytes, cut) = (long.len(), cut(&long, MAX_TEXT));
            assert!((MAX_TEXT - 4..=MAX_TEXT).contains(&cut.len()), "{}", cut.len());
            assert!(cut.ends_with(&format!(" [of {bytes} bytes]")), "{cut}");
        }
        assert_eq!(label("a\nb".to_owned()), "a b");
        assert_eq!(label("x".repeat(4_000)).len(), MAX_LABEL);
    }

    #[test]
    fn unknown_messages_of_newer_workers_are_ignored() {
        // Field 99, a message with a text in it.
        let unknown = [0x9a, 0x06, 3, 0x0a, 1, b'x'];
        let received = |known: v1::WorkerMessage| {
            let bytes = [known.encode_to_vec(), unknown.to_vec()].concat();
            message(v1::WorkerMessage::decode(&*bytes).unwrap()).unwrap()
        };
        assert!(matches!(
            received(v1::WorkerMessage { sequence: 7, kind: None }),
            (7, FromWorker::Unknown)
        ));
        let kind = Some(Kind::Goodbye(v1::Goodbye {}));
        assert!(matches!(
            received(v1::WorkerMessage { sequence: 0, kind }),
            (0, FromWorker::Goodbye)
        ));
    }

    #[test]
    fn a_meaningless_report_is_refused_with_its_lease() {
        let lease =
            v1::LeaseId { trial: "0123456789abcdef0123456789abcdef".to_owned(), attempt: 1 };
        let of = Some(lease.clone());
        let point = |metric: &str, value| {
            let points = vec![v1::MetricPoint { metric: metric.to_owned(), step: 1, value }];
            Kind::Points(v1::Points { lease: of.clone(), points, log: None })
        };
        let log = v1::LogPart { offset: 65_535, text: "ab".to_owned() };
        let log = v1::Points { lease: of.clone(), points: Vec::new(), log: Some(log) };
        let file = |name: &str, offset| {
            let (name, content) = (name.to_owned(), vec![0]);
            Kind::Artifact(v1::ArtifactPart { lease: of.clone(), name, offset, content, size: 2 })
        };
        let outcome = |final_test_accuracy, best_test_accuracy, vae_seconds| {
            let outcome = Outcome {
                final_test_accuracy,
                best_test_accuracy,
                vae_seconds,
                ..Outcome::default()
            };
            let outcome = wire::outcome_values(&outcome);
            let dataset_digest = "0".repeat(64);
            Kind::Succeeded(v1::Succeeded { lease: of.clone(), outcome, dataset_digest })
        };
        let nothing = v1::Succeeded { lease: of.clone(), ..v1::Succeeded::default() };
        for (kind, expected) in [
            (
                point("train/loss", f64::NAN),
                "`NaN` of train/loss is not in -1000000000000000000000000000000 to 1",
            ),
            (point("train/loss", 1.7e308), "is not in"),
            (point("test/accuracy", 1.5), "`1.5` of test/accuracy is not in 0 to 1"),
            (point("x", 0.0), "`x` is unknown"),
            (Kind::Points(log), "`65535` and 2 bytes are more than the 65536 of a log"),
            (file("../../grid.toml", 0), "`../../grid.toml` is unknown"),
            (file("vae.png", 2), "`2` leaves no room for 1 of 2 bytes"),
            (Kind::Succeeded(nothing), "`final_test_accuracy`: it is missing"),
            (outcome(0.5, 0.25, 0.0), "`0.5` is above the best, `0.25`"),
            (outcome(0.5, 0.5, 1.7e308), "is not in 0 to 1000000000"),
        ] {
            match message(v1::WorkerMessage { sequence: 1, kind: Some(kind) }) {
                Ok((1, FromWorker::Refused { lease: of, problem })) => {
                    assert!(
                        v1::LeaseId::from(of) == lease && problem.contains(expected),
                        "{problem}"
                    );
                }
                other => panic!("{other:?} is no refusal: {expected}"),
            }
        }
    }

    #[test]
    fn a_report_has_a_limit_of_points() {
        let lease =
            v1::LeaseId { trial: "0123456789abcdef0123456789abcdef".to_owned(), attempt: 1 };
        let report = |count| {
            let point = v1::MetricPoint { metric: "train/loss".to_owned(), step: 1, value: 1.0 };
            let points =
                v1::Points { lease: Some(lease.clone()), points: vec![point; count], log: None };
            message(v1::WorkerMessage { sequence: 1, kind: Some(Kind::Points(points)) })
        };
        assert!(matches!(report(MAX_POINTS), Ok((1, FromWorker::Points { .. }))));
        let Ok((1, FromWorker::Refused { problem, .. })) = report(MAX_POINTS + 1) else {
            panic!("it is too much")
        };
        assert!(problem.contains("`2049` are more than 2048"), "{problem}");
    }
}
