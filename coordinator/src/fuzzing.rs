//! Fuzz targets: messages of workers as arbitrary bytes. Each panics when a promise is broken.

use std::{path::Path, time::Duration};

use swfn_proto::{Message as _, v1};
use swfn_shared::{
    artifacts::Artifacts,
    capacity::Capacity,
    grid::{DEFAULT_MAX_TRIALS, Grid, Selection},
    ids::{LeaseId, TRAINER_REVISION, WorkerId},
    state::TrialState,
    trial::TrialSpec,
    trial_log,
    wire::{MAX_LOG_BYTES, MAX_NAMED, PROTOCOL, outcome_values},
};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tonic::{Code, Status};
use v1::worker_message::Kind;

use crate::{
    engine::{Engine, Letter, Mailbox, Request, Reservation},
    grpc::convert::{self, MAX_TEXT},
};
use swfn_scheduler::{
    LeaseReport, Limits, Scheduler,
    turn::{FromWorker, Hello, Holder, Reply},
};
use swfn_store::{ArtifactFolder, Store};

/// The name of a target and of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] =
    &[("hello", hello), ("worker-message", worker_message), ("conversation", conversation)];

/// The longest reason for a refusal, in bytes: it travels in a header of limited size.
const LONGEST: usize = 2_000;

/// The first message of a stream, as it is and with the right version, so that the corpus outlives
/// the next version.
pub fn hello(data: &[u8]) {
    let Ok(mut message) = v1::WorkerMessage::decode(data) else { return };
    introduced(message.clone());
    of_this_version(&mut message);
    introduced(message);
}

fn of_this_version(message: &mut v1::WorkerMessage) {
    if let Some(Kind::Hello(hello)) = &mut message.kind {
        (hello.protocol, hello.trainer_revision) = (PROTOCOL, TRAINER_REVISION);
    }
}

fn introduced(message: v1::WorkerMessage) {
    match convert::hello(message, Holder::Anyone) {
        Ok((Hello { worker, predecessor, held, holder: _ }, row)) => {
            let texts = [row.host, row.device, row.model, row.software, row.libtorch];
            texts.iter().chain(&row.cuda).for_each(|text| shown(text));
            for text in predecessor.iter().flat_map(|dead| [&dead.end, &dead.log]) {
                assert!(text.len() <= MAX_LOG_BYTES && !text.contains('\u{1b}'));
            }
            for id in [Some(worker), predecessor.map(|dead| dead.worker)].into_iter().flatten() {
                assert_eq!(id.to_string().parse().as_ref(), Ok(&id));
            }
            assert!(held.len() <= MAX_NAMED);
        }
        Err(status) => refused(&status),
    }
}

/// Any later message.
pub fn worker_message(data: &[u8]) {
    let Ok(wire) = v1::WorkerMessage::decode(data) else { return };
    let (sequence, said) = match convert::message(wire.clone()) {
        Ok(said) => said,
        Err(status) => return refused(&status),
    };
    assert_eq!(sequence, wire.sequence);
    match (said, wire.kind) {
        (FromWorker::Points { lease, points, log }, Some(Kind::Points(wire))) => {
            same_lease(lease, wire.lease);
            let back: Vec<v1::MetricPoint> = points.into_iter().map(Into::into).collect();
            assert_eq!(back, wire.points);
            assert_eq!(log.is_some(), wire.log.is_some());
            if let Some((log, wire)) = log.zip(wire.log) {
                assert!(log.offset + log.text.len() as u64 <= trial_log::MAX_BYTES as u64);
                assert_eq!((log.offset, log.text.len()), (wire.offset, wire.text.len()));
                assert!(
                    log.text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()),
                    "{:?}",
                    log.text
                );
            }
        }
        (FromWorker::Artifact { lease, part }, Some(Kind::Artifact(wire))) => {
            assert!(part.offset + part.content.len() as u64 <= part.size);
            assert_eq!(swfn_shared::wire::artifact_part(lease, part), wire);
        }
        (FromWorker::Succeeded { lease, outcome, dataset_digest }, Some(Kind::Succeeded(wire))) => {
            same_lease(lease, wire.lease);
            assert_eq!(outcome_values(&outcome).len(), wire.outcome.len());
            assert_eq!(swfn_shared::wire::outcome(&wire.outcome), Ok(outcome));
            assert_eq!(dataset_digest.to_string(), wire.dataset_digest);
        }
        (FromWorker::Reports(reports), Some(wire)) => {
            let leases = match wire {
                Kind::Failed(wire) => vec![wire.lease],
                Kind::Released(wire) => vec![wire.lease],
                Kind::Heartbeat(wire) => wire.progress.into_iter().map(|p| p.lease).collect(),
                other => panic!("{other:?} is no such report"),
            };
            assert!(reports.len() == leases.len() && reports.len() <= MAX_NAMED);
            for ((lease, report), wire) in reports.into_iter().zip(leases) {
                same_lease(lease, wire);
                if let LeaseReport::Failed { error, log, .. } = report {
                    shown(&error);
                    assert!(log.len() <= MAX_LOG_BYTES && !log.contains('\u{1b}'));
                }
            }
        }
        (FromWorker::Ask(Capacity { lanes, shape, vaes }), Some(Kind::Ask(wire))) => {
            assert!(lanes <= wire.lanes && vaes.len() <= MAX_NAMED);
            assert_eq!((shape.map(|id| id.to_string()), vaes.len()), (wire.shape, wire.vaes.len()));
        }
        (FromWorker::Goodbye, Some(Kind::Goodbye(_))) | (FromWorker::Unknown, None) => {}
        (FromWorker::Refused { lease, problem }, Some(wire)) => {
            assert!(!problem.is_empty() && problem.len() <= LONGEST, "{problem}");
            match wire {
                Kind::Points(wire) => same_lease(lease, wire.lease),
                Kind::Succeeded(wire) => same_lease(lease, wire.lease),
                Kind::Artifact(wire) => same_lease(lease, wire.lease),
                other => panic!("{other:?} is no such report"),
            }
        }
        (said, wire) => panic!("{wire:?} became {said:?}"),
    }
}

/// Streams of up to four workers at a time, sent to the real actor with a real store in memory.
/// Each message is a byte with the number of its stream, and then the message behind its length.
/// The number of a trial in the grid stands for its id. Afterwards, the journal must lead to the
/// same state, and answers must be fit for the wire.
pub fn conversation(mut data: &[u8]) {
    const MESSAGES: usize = 100;
    let specs = specs();
    let mut streams: [Option<(u64, WorkerId)>; 4] = [const { None }; 4];
    let (requests, queue) = mpsc::channel(MESSAGES + 1);
    let (mut answers, mut highest): (Vec<UnboundedReceiver<Letter>>, u64) = (Vec::new(), 0);
    for number in 1..=MESSAGES as u64 {
        let Some((stream, rest)) = data.split_first() else { break };
        data = rest;
        let Ok(mut message) = v1::WorkerMessage::decode_length_delimited(&mut data) else { break };
        of_this_version(&mut message);
        name_trials(&mut message, &specs);
        let stream = &mut streams[usize::from(*stream) % 4];
        let request = match stream.take() {
            None => convert::hello(message, Holder::Anyone).map(|(hello, row)| {
                let (replies, receiver) = Mailbox::new();
                answers.push(receiver);
                *stream = Some((number, hello.worker.clone()));
                let (hello, row) = (Box::new(hello), Box::new(row));
                let reservation = Reservation::default();
                Request::Join { session: number, hello, row, replies, reservation }
            }),
            Some((session, worker)) => match convert::message(message) {
                Ok((sequence, message)) => {
                    highest = highest.max(sequence);
                    *stream = Some((session, worker.clone()));
                    let reservation = Reservation::default();
                    Ok(Request::Message { session, worker, sequence, message, reservation })
                }
                Err(status) => {
                    refused(&status);
                    Ok(Request::StreamEnded { session, worker })
                }
            },
        };
        match request {
            Ok(request) => requests.try_send(request).expect("the channel has room for all"),
            Err(status) => refused(&status),
        }
    }
    requests.try_send(Request::Stop).expect("the channel has room for all");
    let store = Store::open(Path::new(":memory:")).expect("memory holds a database");
    let store = engine(store, &specs).run(queue).expect("memory can be written");
    let letters =
        answers.iter_mut().flat_map(|answers| std::iter::from_fn(|| answers.try_recv().ok()));
    for reply in letters.map(|letter| letter.reply) {
        match &reply {
            Reply::Grant { leases, .. } => {
                leases.iter().for_each(|(lease, spec)| assert_eq!(lease.trial, spec.id()))
            }
            Reply::Acknowledge { through } => assert!((1..=highest).contains(through)),
            Reply::Revoke { reason, .. }
            | Reply::Drain { reason, .. }
            | Reply::Refuse { reason } => {
                assert!(reason.len() <= LONGEST);
            }
            Reply::Deny { reason } => panic!("nobody has a certificate here: {reason}"),
            Reply::Confirm { leases } => assert!(leases.len() <= MAX_NAMED),
        }
        let wire = convert::reply(reply).expect("the actor refuses nothing here").encode_to_vec();
        assert!(v1::CoordinatorMessage::decode(wire.as_slice()).is_ok());
    }
    let trials = store.trials().expect("memory can be read");
    assert_eq!(trials.len(), specs.len());
    for trial in &trials {
        assert_eq!(trial.state == TrialState::Succeeded, trial.outcome.is_some(), "{trial:?}");
        trial.error.iter().for_each(|error| shown(error));
    }
    // Panics if the journal contradicts itself.
    drop(engine(store, &specs));
}

/// Three trials of each of two shapes.
fn specs() -> Vec<TrialSpec> {
    let grid = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 3 }\nsubset_size = 100\n\
                architecture = [\"net\", \"lenet\"]\nlambda = 0.1\n";
    Grid::parse("t", grid, DEFAULT_MAX_TRIALS).expect("a grid that is right").trials().collect()
}

fn engine(store: Store, specs: &[TrialSpec]) -> Engine {
    let minute = Duration::from_secs(60);
    let limits = Limits {
        max_failures: 2,
        max_losses: 2,
        lease: minute,
        stall: minute,
        longest: None,
        portion: 64,
    };
    // No files are wanted, so none are written.
    let folder =
        ArtifactFolder::open("nowhere".into(), Artifacts::default()).expect("nothing is opened");
    Engine::new(
        store,
        Scheduler::new(limits, specs.iter().copied()),
        specs,
        Selection::Final,
        Artifacts::default(),
        folder,
        |_| false,
    )
    .expect("the journal is sound")
}

/// Replaces numbers of trials by their ids, which are hard to guess.
fn name_trials(message: &mut v1::WorkerMessage, specs: &[TrialSpec]) {
    let name = |lease: &mut v1::LeaseId| {
        if let Ok(number) = lease.trial.parse::<usize>() {
            lease.trial = specs[number % specs.len()].id().to_string();
        }
    };
    let leases: Vec<&mut v1::LeaseId> = match &mut message.kind {
        Some(Kind::Hello(hello)) => hello.held.iter_mut().collect(),
        Some(Kind::Heartbeat(heartbeat)) => {
            heartbeat.progress.iter_mut().filter_map(|p| p.lease.as_mut()).collect()
        }
        Some(Kind::Points(points)) => points.lease.iter_mut().collect(),
        Some(Kind::Artifact(part)) => part.lease.iter_mut().collect(),
        Some(Kind::Succeeded(succeeded)) => succeeded.lease.iter_mut().collect(),
        Some(Kind::Failed(failed)) => failed.lease.iter_mut().collect(),
        Some(Kind::Released(released)) => released.lease.iter_mut().collect(),
        Some(Kind::Ask(_) | Kind::Goodbye(_)) | None => Vec::new(),
    };
    leases.into_iter().for_each(name);
}

fn same_lease(lease: LeaseId, wire: Option<v1::LeaseId>) {
    assert_eq!(Some(lease.into()), wire);
}

/// Text that is kept and shown must be short, without commands to a terminal.
fn shown(text: &str) {
    assert!(text.len() <= MAX_TEXT, "{} bytes", text.len());
    assert!(text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "{text:?}");
}

fn refused(status: &Status) {
    assert!(matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition), "{status}");
    let reason = status.message();
    assert!(!reason.is_empty() && reason.len() <= LONGEST, "{} bytes: {reason}", reason.len());
    assert!(reason.chars().all(|c| c == '\n' || !c.is_control()), "{reason:?}");
}

#[cfg(test)]
mod tests {
    swfn_fuzz::corpora_hold!(super::TARGETS);
}
