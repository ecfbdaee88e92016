//! Texts of a trace.

use std::fmt::Write as _;

use swfn_proto::v1::{self, worker_message::Kind};
use swfn_shared::ids::LeaseId;

use super::{
    super::{Command, Event, LeaseReport},
    message::Downward,
    plan::{Nature, Plan},
    wire,
};

fn leases<'l>(leases: impl IntoIterator<Item = &'l LeaseId>) -> String {
    leases.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn quarantined(quarantine: bool) -> &'static str {
    if quarantine { ", quarantined" } else { "" }
}

/// The leases that a hello names.
pub(super) fn held(held: &[LeaseId]) -> String {
    if held.is_empty() { "nothing".to_owned() } else { leases(held) }
}

pub(super) fn event(event: &Event) -> String {
    match event {
        Event::Leased { lease, worker } => format!("{lease} leased to {worker}"),
        Event::Succeeded { lease } => format!("{lease} succeeded"),
        Event::Failed { lease, error, quarantine, .. } => {
            format!("{lease} failed: {error}{}", quarantined(*quarantine))
        }
        Event::Lost { lease, error, quarantine, .. } => {
            format!("{lease} lost: {error}{}", quarantined(*quarantine))
        }
        Event::Released { lease } => format!("{lease} given back"),
        Event::Retried { lease } => format!("{lease} is to be tried again"),
        other => format!("{other:?}"),
    }
}

pub(super) fn command(command: &Command) -> String {
    match command {
        Command::Asked { worker, capacity } => format!("ask of {worker} for {}", capacity.lanes),
        Command::Reported { worker, lease, report } => {
            let news = match report {
                LeaseReport::Progressed { step, .. } => format!("step {step}"),
                LeaseReport::Succeeded => "success".to_owned(),
                LeaseReport::Failed { kind, .. } => format!("failure ({kind:?})"),
                LeaseReport::Released => "return".to_owned(),
            };
            format!("{news} of {lease} by {worker}")
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn message(message: &v1::WorkerMessage) -> String {
    let of = |id: &Option<v1::LeaseId>| wire::lease(id.clone());
    let said = match message.kind.as_ref() {
        Some(Kind::Ask(v1::Ask { lanes: 0, .. })) => "I want no more".to_owned(),
        Some(Kind::Ask(v1::Ask { lanes, shape, vaes })) => {
            let shape = shape.as_ref().map_or("any", |shape| &shape[..8]);
            format!("I have {lanes} lanes for shape {shape}, and {} VAEs", vaes.len())
        }
        Some(Kind::Heartbeat(beat)) => {
            let waits = |progress: &v1::Progress| if progress.waits { ", waits" } else { "" };
            let step = |p: &v1::Progress| format!("{} at {}{}", of(&p.lease), p.step, waits(p));
            format!("I live; {}", beat.progress.iter().map(step).collect::<Vec<_>>().join(", "))
        }
        Some(Kind::Points(report)) => {
            let steps: Vec<_> = report.points.iter().map(|point| point.step).collect();
            format!("points of {} at {steps:?}", of(&report.lease))
        }
        Some(Kind::Succeeded(report)) => format!("{} succeeded", of(&report.lease)),
        Some(Kind::Failed(report)) => format!("{} failed: {}", of(&report.lease), report.message),
        Some(Kind::Released(report)) => format!("I give {} back", of(&report.lease)),
        Some(Kind::Goodbye(_)) => "goodbye".to_owned(),
        other => format!("{other:?}"),
    };
    if message.sequence > 0 { format!("#{} {said}", message.sequence) } else { said }
}

pub(super) fn answer(answer: &Downward) -> String {
    let named = |leases: &[v1::LeaseId]| {
        let leases: Vec<_> = leases.iter().map(|lease| wire::lease(Some(lease.clone()))).collect();
        held(&leases)
    };
    match answer {
        Downward::Welcome(_) => "welcome".to_owned(),
        Downward::Grant(grant) => {
            let ids: Vec<_> = grant.leases.iter().filter_map(|lease| lease.id.clone()).collect();
            format!("grant of {}", named(&ids))
        }
        Downward::Confirm(confirm) => format!("still yours: {}", named(&confirm.leases)),
        Downward::Acknowledge(acknowledge) => {
            format!("acknowledged through #{}", acknowledge.through)
        }
        Downward::Revoke(revoke) => format!("{} is over", wire::lease(revoke.lease.clone())),
        Downward::Drain(drain) => format!("no more trials: {}", drain.reason),
    }
}

/// The plan, without the parts that have their own lines in the trace.
pub(super) fn plan(plan: &Plan) -> String {
    let Plan {
        promise,
        limits,
        subjects,
        slots,
        faults,
        weather,
        stream_capacity,
        tick,
        commit,
        quiet,
        retries,
        specs: _,
    } = plan;
    let mut text = format!(
        "plan: {promise:?}, {limits:?}\n{weather:?}, streams of {stream_capacity}, tick {tick} ms, commits up to {commit} ms\n"
    );
    for (number, slot) in slots.iter().enumerate() {
        writeln!(text, "slot {number}: {slot:?}").expect("a string takes all");
    }
    for (trial, subject) in subjects {
        let (id, nature, steps) = (trial.short(), subject.nature, subject.steps);
        let mark = if nature == Nature::Sound { "" } else { " (!)" };
        writeln!(
            text,
            "trial {id}: {nature:?}{mark}, {steps} steps, shape {}",
            subject.shape.short()
        )
        .expect("a string takes all");
    }
    write!(text, "{} faults, the last before {quiet} ms, {retries} retries", faults.len())
        .expect("a string takes all");
    text
}
