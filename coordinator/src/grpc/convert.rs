//! What a worker sends, checked and turned into the actor's words; and back.

use swfn_proto::v1::{self, coordinator_message, worker_message};
use swfn_shared::{
    ids::{DataDigestError, IdError, LeaseId, TRAINER_REVISION},
    trial::TrialSpec,
    wire::{self, MAX_LANES, PROTOCOL, WireError},
};
use tonic::Status;

use crate::{
    engine::{FromWorker, Hello, Holder, Reply},
    scheduler::FailureKind,
    store::WorkerRow,
};

/// Text of a peer is cut here, so that nobody can fill the disk with an error message.
const MAX_TEXT: usize = 4_096;

fn text(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn refuse(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn missing(field: &'static str) -> Status {
    refuse(WireError::Missing(field))
}

/// The first message of a stream.
pub(super) fn hello(message: v1::WorkerMessage, holder: Holder) -> Result<Hello, Status> {
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
        text.parse().map_err(|error: swfn_shared::ids::WorkerIdError| Status::invalid_argument(error.to_string()))
    };
    let device = hello.device.ok_or_else(|| missing("hello.device"))?;
    Ok(Hello {
        worker: WorkerRow {
            id: id(&hello.worker)?,
            host: text(hello.host),
            device: text(device.name),
            model: text(device.model),
            threads: Some(device.threads),
            cuda: Some(text(device.cuda_version)),
            software: text(hello.software_version),
            libtorch: text(hello.libtorch_version),
        },
        holder,
        predecessor: hello.predecessor.as_deref().map(id).transpose()?,
        held: hello.held.into_iter().map(TryInto::try_into).collect::<Result<_, _>>().map_err(refuse)?,
    })
}

/// Every later message: its sequence number and what it says.
pub(super) fn message(message: v1::WorkerMessage) -> Result<(u64, FromWorker), Status> {
    let said = match message.kind.ok_or_else(|| missing("kind"))? {
        worker_message::Kind::Hello(_) => {
            return Err(Status::failed_precondition("`hello` comes once, at the beginning"));
        }
        worker_message::Kind::Ask(ask) => {
            let wrong = |error: IdError| Status::invalid_argument(error.to_string());
            FromWorker::Ask {
                lanes: ask.lanes.min(MAX_LANES),
                shape: ask.shape.map(|shape| shape.parse()).transpose().map_err(wrong)?,
                vaes: ask.vaes.iter().map(|vae| vae.parse()).collect::<Result<_, _>>().map_err(wrong)?,
            }
        }
        worker_message::Kind::Heartbeat(heartbeat) => {
            let progress = |p: v1::Progress| Ok((wire::lease(p.lease)?, p.step));
            let progress = heartbeat.progress.into_iter().map(progress).collect::<Result<_, _>>().map_err(refuse)?;
            FromWorker::Heartbeat { progress }
        }
        worker_message::Kind::Points(points) => FromWorker::Points {
            lease: wire::lease(points.lease).map_err(refuse)?,
            points: points.points.into_iter().map(TryInto::try_into).collect::<Result<_, _>>().map_err(refuse)?,
        },
        worker_message::Kind::Artifact(mut part) => FromWorker::Artifact {
            lease: wire::lease(part.lease.take()).map_err(refuse)?,
            part: part.try_into().map_err(refuse)?,
        },
        worker_message::Kind::Succeeded(succeeded) => FromWorker::Succeeded {
            lease: wire::lease(succeeded.lease).map_err(refuse)?,
            outcome: succeeded.outcome.ok_or_else(|| missing("outcome"))?.try_into().map_err(refuse)?,
            dataset_digest: succeeded.dataset_digest.parse().map_err(|error: DataDigestError| {
                Status::invalid_argument(format!("field `dataset_digest`: {error}"))
            })?,
        },
        worker_message::Kind::Failed(failed) => FromWorker::Failed {
            kind: match failed.kind() {
                v1::FailureKind::Diverged => FailureKind::Diverged,
                v1::FailureKind::Error | v1::FailureKind::Unspecified => FailureKind::Error,
            },
            lease: wire::lease(failed.lease).map_err(refuse)?,
            error: text(failed.message),
        },
        worker_message::Kind::Released(released) => {
            FromWorker::Released { lease: wire::lease(released.lease).map_err(refuse)? }
        }
        worker_message::Kind::Goodbye(_) => FromWorker::Goodbye,
    };
    Ok((message.sequence, said))
}

/// An answer of the actor on the wire.
pub(super) fn reply(reply: Reply) -> Result<v1::CoordinatorMessage, Status> {
    use coordinator_message::Kind;
    let kind = match reply {
        Reply::Grant { leases, artifacts } => {
            let lease = |(id, spec): (LeaseId, TrialSpec)| v1::Lease {
                id: Some(id.into()),
                spec: Some((&spec).into()),
                artifacts: Some(artifacts.into()),
            };
            Kind::Grant(v1::Grant { leases: leases.into_iter().map(lease).collect() })
        }
        Reply::Acknowledge { through } => Kind::Acknowledge(v1::Acknowledge { through }),
        Reply::Revoke { lease, reason } => Kind::Revoke(v1::Revoke { lease: Some(lease.into()), reason }),
        Reply::Drain { reason } => Kind::Drain(v1::Drain { reason }),
        Reply::Deny { reason } => return Err(Status::permission_denied(reason)),
        Reply::Refuse { reason } => return Err(Status::invalid_argument(reason)),
    };
    Ok(v1::CoordinatorMessage { kind: Some(kind) })
}
