//! What a worker sends, checked and turned into the actor's words; and back.

use swfn_proto::v1::{self, coordinator_message, worker_message};
use swfn_scheduler::{
    FailureKind, Predecessor,
    turn::{FromWorker, Hello, Holder, Progress, Reply},
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

/// Text of a peer is cut here, so that nobody can fill the disk with an error message.
pub(crate) const MAX_TEXT: usize = 4_096;

/// Names and versions are short, and of one line.
const MAX_LABEL: usize = 256;

fn text(text: String) -> String {
    cut(&text, MAX_TEXT)
}

fn label(text: String) -> String {
    cut(&text, MAX_LABEL).replace(['\n', '\t'], " ")
}

/// The beginning of a text, made printable; how much is cut off stands at its end.
fn cut(text: &str, most: usize) -> String {
    let shown = for_terminal(text::beginning(text, most));
    if text.len() <= most {
        return shown;
    }
    let note = format!(" [of {} bytes]", text.len());
    text::beginning(&shown, most - note.len()).to_owned() + &note
}

/// The end of a log matters, not its beginning.
fn log(log: String) -> String {
    for_terminal(text::end(&log, MAX_LOG_BYTES))
}

/// Refuses lists that would keep the actor busy for long, or fill the memory while they wait for it.
pub(super) fn at_most(limit: usize, count: usize, field: &'static str) -> Result<(), Status> {
    within(limit, count, field).map_err(refuse)
}

fn within(limit: usize, count: usize, field: &'static str) -> Result<(), WireError> {
    let problem = || format!("`{count}` are more than {limit}");
    if count <= limit { Ok(()) } else { Err(WireError::Wrong { field, problem: problem() }) }
}

fn refuse(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn missing(field: &'static str) -> Status {
    refuse(WireError::Missing(field))
}

/// The first message of a stream, and what is kept of the worker.
pub(crate) fn hello(
    message: v1::WorkerMessage,
    holder: Holder,
) -> Result<(Hello, WorkerRow), Status> {
    let Some(worker_message::Kind::Hello(hello)) = message.kind else {
        return Err(Status::failed_precondition("a stream begins with `hello`"));
    };
    if hello.protocol != PROTOCOL {
        return Err(Status::failed_precondition(format!(
            "worker speaks protocol `{}`, this coordinator {PROTOCOL}\nhint: run the same version of swfn on both sides",
            hello.protocol
        )));
    }
    if hello.trainer_revision != TRAINER_REVISION {
        return Err(Status::failed_precondition(format!(
            "worker has trainer revision `{}`, this coordinator files results under revision {TRAINER_REVISION}\n\
             hint: run the same version of swfn on both sides",
            hello.trainer_revision
        )));
    }
    let id = |text: &str| {
        text.parse().map_err(|error: IdError| Status::invalid_argument(error.to_string()))
    };
    at_most(MAX_NAMED, hello.held.len(), "hello.held")?;
    let device = hello.device.ok_or_else(|| missing("hello.device"))?;
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
    let hello = Hello {
        worker: row.id.clone(),
        predecessor: match hello.predecessor {
            None => None,
            Some(worker) => Some(Predecessor {
                worker: id(&worker)?,
                end: label(hello.predecessor_end),
                log: log(hello.predecessor_log),
                innocent: hello.predecessor_innocent,
            }),
        },
        holder,
        held: hello
            .held
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()
            .map_err(refuse)?,
    };
    Ok((hello, row))
}

/// A report of a lease. Whose it is must be clear; what is wrong with the rest costs the attempt, and not the stream.
fn believed(
    lease: Option<v1::LeaseId>,
    report: impl FnOnce(LeaseId) -> Result<FromWorker, WireError>,
) -> Result<FromWorker, Status> {
    let lease = wire::lease(lease).map_err(refuse)?;
    Ok(report(lease)
        .unwrap_or_else(|error| FromWorker::Refused { lease, problem: error.to_string() }))
}

fn points(lease: LeaseId, report: v1::Points) -> Result<FromWorker, WireError> {
    within(MAX_POINTS, report.points.len(), "points")?;
    let points = report.points.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
    Ok(FromWorker::Points { lease, points, log: report.log.map(TryInto::try_into).transpose()? })
}

fn succeeded(lease: LeaseId, report: v1::Succeeded) -> Result<FromWorker, WireError> {
    let outcome = wire::outcome(&report.outcome)?;
    let wrong =
        |error: IdError| WireError::Wrong { field: "dataset_digest", problem: error.to_string() };
    let dataset_digest = report.dataset_digest.parse().map_err(wrong)?;
    Ok(FromWorker::Succeeded { lease, outcome, dataset_digest })
}

/// Every later message: its sequence number and what it says.
pub(crate) fn message(message: v1::WorkerMessage) -> Result<(u64, FromWorker), Status> {
    // A kind that a newer worker knows: if it waits for an acknowledgement, it would be sent again, and again.
    let Some(kind) = message.kind else { return Ok((message.sequence, FromWorker::Unknown)) };
    let said = match kind {
        worker_message::Kind::Hello(_) => {
            return Err(Status::failed_precondition("`hello` comes once, at the beginning"));
        }
        worker_message::Kind::Ask(ask) => {
            at_most(MAX_NAMED, ask.vaes.len(), "ask.vaes")?;
            let wrong = |error: IdError| Status::invalid_argument(error.to_string());
            let capacity = Capacity::try_from(ask).map_err(wrong)?;
            FromWorker::Ask(Capacity { lanes: capacity.lanes.min(MAX_LANES), ..capacity })
        }
        worker_message::Kind::Heartbeat(heartbeat) => {
            at_most(MAX_NAMED, heartbeat.progress.len(), "heartbeat.progress")?;
            let progress = |p: v1::Progress| {
                Ok(Progress { lease: wire::lease(p.lease)?, step: p.step, waits: p.waits })
            };
            let progress = heartbeat
                .progress
                .into_iter()
                .map(progress)
                .collect::<Result<_, _>>()
                .map_err(refuse)?;
            FromWorker::Heartbeat { progress }
        }
        worker_message::Kind::Points(report) => {
            believed(report.lease.clone(), |lease| points(lease, report))?
        }
        worker_message::Kind::Artifact(mut part) => believed(part.lease.take(), |lease| {
            Ok(FromWorker::Artifact { lease, part: part.try_into()? })
        })?,
        worker_message::Kind::Succeeded(report) => {
            believed(report.lease.clone(), |lease| succeeded(lease, report))?
        }
        worker_message::Kind::Failed(failed) => FromWorker::Failed {
            kind: match failed.kind() {
                v1::FailureKind::Diverged => FailureKind::Diverged,
                v1::FailureKind::Error | v1::FailureKind::Unspecified => FailureKind::Error,
            },
            lease: wire::lease(failed.lease).map_err(refuse)?,
            error: text(failed.message),
            log: log(failed.log),
        },
        worker_message::Kind::Released(released) => {
            FromWorker::Released { lease: wire::lease(released.lease).map_err(refuse)? }
        }
        worker_message::Kind::Goodbye(_) => FromWorker::Goodbye,
    };
    Ok((message.sequence, said))
}

/// An answer of the actor on the wire.
pub(crate) fn reply(reply: Reply) -> Result<v1::CoordinatorMessage, Status> {
    use coordinator_message::Kind;
    let kind = match reply {
        Reply::Grant { leases, artifacts } => {
            let lease = |(id, spec): (LeaseId, TrialSpec)| v1::Lease {
                id: Some(id.into()),
                spec: spec.to_json(),
                artifacts: Some(artifacts.into()),
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
    fn text_of_a_peer_is_short_and_no_command_to_a_terminal() {
        assert_eq!(text("a\u{1b}[2J\nb\tc\u{9b}".to_owned()), "a?[2J\nb\tc??");
        for long in [
            "ä".repeat(MAX_TEXT),
            "\u{1b}".repeat(MAX_TEXT + 1),
            format!("a{}", "ä".repeat(MAX_TEXT)),
        ] {
            let (bytes, cut) = (long.len(), text(long));
            assert!((MAX_TEXT - 4..=MAX_TEXT).contains(&cut.len()), "{}", cut.len());
            assert!(cut.ends_with(&format!(" [of {bytes} bytes]")), "{cut}");
        }
        assert_eq!(label("a\nb".to_owned()), "a b");
        assert_eq!(label("x".repeat(4_000)).len(), MAX_LABEL);
    }
    #[test]
    fn what_a_newer_worker_says_is_ignored_as_far_as_it_is_not_known() {
        // Field 99, a message with a text in it.
        let unknown = [0x9a, 0x06, 3, 0x0a, 1, b'x'];
        let said = |known: v1::WorkerMessage| {
            let bytes = [known.encode_to_vec(), unknown.to_vec()].concat();
            message(v1::WorkerMessage::decode(&*bytes).unwrap()).unwrap()
        };
        assert!(matches!(
            said(v1::WorkerMessage { sequence: 7, kind: None }),
            (7, FromWorker::Unknown)
        ));
        let kind = Some(worker_message::Kind::Goodbye(v1::Goodbye {}));
        assert!(matches!(said(v1::WorkerMessage { sequence: 0, kind }), (0, FromWorker::Goodbye)));
    }

    #[test]
    fn a_report_that_means_nothing_is_refused_with_its_lease() {
        let lease =
            v1::LeaseId { trial: "0123456789abcdef0123456789abcdef".to_owned(), attempt: 1 };
        let of = Some(lease.clone());
        let point = |metric: &str, value| {
            let points = vec![v1::MetricPoint { metric: metric.to_owned(), step: 1, value }];
            worker_message::Kind::Points(v1::Points { lease: of.clone(), points, log: None })
        };
        let log = v1::LogPart { offset: 65_535, text: "ab".to_owned() };
        let log = v1::Points { lease: of.clone(), points: Vec::new(), log: Some(log) };
        let file = |name: &str, offset| {
            let (name, content) = (name.to_owned(), vec![0]);
            worker_message::Kind::Artifact(v1::ArtifactPart {
                lease: of.clone(),
                name,
                offset,
                content,
                size: 2,
            })
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
            worker_message::Kind::Succeeded(v1::Succeeded {
                lease: of.clone(),
                outcome,
                dataset_digest,
            })
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
            (
                worker_message::Kind::Points(log),
                "`65535` and 2 bytes are more than the 65536 of a log",
            ),
            (file("../../grid.toml", 0), "`../../grid.toml` is unknown"),
            (file("vae.png", 2), "`2` leaves no room for 1 of 2 bytes"),
            (worker_message::Kind::Succeeded(nothing), "`final_test_accuracy`: it is missing"),
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
    fn a_report_has_no_more_points_than_a_worker_sends() {
        let lease =
            v1::LeaseId { trial: "0123456789abcdef0123456789abcdef".to_owned(), attempt: 1 };
        let report = |count| {
            let point = v1::MetricPoint { metric: "train/loss".to_owned(), step: 1, value: 1.0 };
            let points =
                v1::Points { lease: Some(lease.clone()), points: vec![point; count], log: None };
            message(v1::WorkerMessage {
                sequence: 1,
                kind: Some(worker_message::Kind::Points(points)),
            })
        };
        assert!(matches!(report(MAX_POINTS), Ok((1, FromWorker::Points { .. }))));
        let Ok((1, FromWorker::Refused { problem, .. })) = report(MAX_POINTS + 1) else {
            panic!("it is too much")
        };
        assert!(problem.contains("`2049` are more than 2048"), "{problem}");
    }
}
