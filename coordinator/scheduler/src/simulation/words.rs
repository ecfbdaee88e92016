//! The words of a trace.

use std::fmt::Write as _;

use swfn_shared::{capacity::Capacity, ids::LeaseId};

use super::{
    super::{Act, Command, Event},
    message::{Downward, Message, Said},
    plan::{Nature, Plan},
};

fn leases<'l>(leases: impl IntoIterator<Item = &'l LeaseId>) -> String {
    leases.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn quarantined(quarantine: bool) -> &'static str {
    if quarantine { ", quarantined" } else { "" }
}

/// What a hello names.
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
        Event::Lost { lease, error, quarantine, .. } => format!("{lease} lost: {error}{}", quarantined(*quarantine)),
        Event::Released { lease } => format!("{lease} given back"),
        Event::ByPerson { lease, act: Act::Retried } => format!("{lease} is to be tried again"),
        other => format!("{other:?}"),
    }
}

pub(super) fn command(command: &Command) -> String {
    match command {
        Command::Asked { worker, capacity } => format!("ask of {worker} for {}", capacity.lanes),
        Command::Progressed { worker, lease, step, .. } => format!("step {step} of {lease} by {worker}"),
        Command::Succeeded { worker, lease } => format!("success of {lease} by {worker}"),
        Command::Failed { worker, lease, kind, .. } => format!("failure ({kind:?}) of {lease} by {worker}"),
        Command::Released { worker, lease } => format!("return of {lease} by {worker}"),
        other => format!("{other:?}"),
    }
}

pub(super) fn message(message: &Message) -> String {
    let Message { sequence, said } = message;
    let said = match said {
        Said::Ask(Capacity { lanes: 0, .. }) => "I want no more".to_owned(),
        Said::Ask(Capacity { lanes, shape, vaes }) => {
            let shape = shape.map_or_else(|| "any shape".to_owned(), |shape| format!("shape {}", shape.short()));
            format!("I have {lanes} lanes for {shape}, and {} VAEs", vaes.len())
        }
        Said::Heartbeat { progress } => {
            let steps = progress.iter().map(|(lease, step)| format!("{lease} at {step}")).collect::<Vec<_>>();
            format!("I live; {}", steps.join(", "))
        }
        Said::Points { lease, steps } => format!("points of {lease} at {steps:?}"),
        Said::Succeeded { lease } => format!("{lease} succeeded"),
        Said::Failed { lease, kind } => format!("{lease} failed: {kind:?}"),
        Said::Released { lease } => format!("I give {lease} back"),
        Said::Goodbye => "goodbye".to_owned(),
    };
    if *sequence > 0 { format!("#{sequence} {said}") } else { said }
}

pub(super) fn answer(answer: &Downward) -> String {
    match answer {
        Downward::Welcome => "welcome".to_owned(),
        Downward::Grant(granted) => format!("grant of {}", leases(granted)),
        Downward::Confirm(leases) => format!("still yours: {}", held(leases)),
        Downward::Acknowledge(through) => format!("acknowledged through #{through}"),
        Downward::Revoke(lease) => format!("{lease} is over"),
        Downward::Drain => "no more trials".to_owned(),
    }
}

/// The plan without what has a line of its own in the trace.
pub(super) fn plan(plan: &Plan) -> String {
    let Plan { promise, limits, subjects, slots, faults, weather, tick, commit, quiet, again, specs: _ } = plan;
    let mut text = format!("plan: {promise:?}, {limits:?}\n{weather:?}, tick {tick} ms, commits up to {commit} ms\n");
    for (number, slot) in slots.iter().enumerate() {
        writeln!(text, "slot {number}: {slot:?}").expect("a string takes all");
    }
    for (trial, subject) in subjects {
        let (id, nature, steps) = (trial.short(), subject.nature, subject.steps);
        let mark = if nature == Nature::Sound { "" } else { " (!)" };
        writeln!(text, "trial {id}: {nature:?}{mark}, {steps} steps, shape {}", subject.shape.short())
            .expect("a string takes all");
    }
    write!(text, "{} faults, the last before {quiet} ms, tried again {again} times", faults.len())
        .expect("a string takes all");
    text
}
