//! Fuzz targets: grid files and trials as arbitrary bytes. Each panics when a promise is broken.

use std::collections::HashSet;

use crate::{
    grid::{Grid, GridError, Mistake},
    trial::TrialSpec,
    work::{classifier_flop, vae_flop},
};

/// The name of a target, which is also that of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[("grid", grid), ("specification", specification)];

/// Largest number of trials of a grid here, so that listing them takes no time.
const MOST: u64 = 500;

/// The longest error message in bytes.
const LONGEST: usize = 6_000;

/// A grid file is refused with a place and a hint, or expanded. Its trials are distinct, no more
/// than allowed, the same each time, and survive the wire.
pub fn grid(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parse = |most| Grid::parse("grid.toml", text, most);
    let trials: Vec<_> = match parse(MOST) {
        Ok(grid) => grid.trials().collect(),
        Err(error) => return explained(&error, text),
    };
    assert!((1..=MOST).contains(&(trials.len() as u64)), "{} trials", trials.len());
    assert!(parse(trials.len() as u64 - 1).is_err(), "a limit below the number of trials is kept");
    let ids: HashSet<_> = trials.iter().map(TrialSpec::id).collect();
    assert_eq!(ids.len(), trials.len(), "ids are distinct");
    let again = parse(MOST).map(|grid| grid.trials().collect::<Vec<_>>());
    assert_eq!(again.as_ref(), Ok(&trials), "the same text is the same grid");
    trials.iter().for_each(survives);
}

/// The canonical JSON of a trial, as a coordinator sends it.
pub fn specification(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match TrialSpec::parse(text) {
        Ok(spec) => survives(&spec),
        Err(error) => readable(&error.to_string()),
    }
}

/// An accepted trial has the same ids on the other side of the wire, and its work can be counted.
fn survives(spec: &TrialSpec) {
    let back = TrialSpec::parse(&spec.to_json())
        .unwrap_or_else(|error| panic!("{error}: {}", spec.to_json()));
    assert_eq!(&back, spec);
    let ids = |spec: &TrialSpec| (spec.id(), spec.cell(), spec.shape(), spec.subset(), spec.vae());
    assert_eq!(ids(&back), ids(spec));
    assert_eq!(spec.vae().is_some(), vae_flop(spec) > 0.0);
    assert!(
        vae_flop(spec).is_finite()
            && classifier_flop(spec).is_finite()
            && classifier_flop(spec) > 0.0
    );
    assert!(spec.steps() > 0);
}

fn explained(error: &GridError, text: &str) {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    assert!(!error.mistakes.is_empty(), "{error}");
    for Mistake { place, problem, hint } in &error.mistakes {
        assert!(!problem.is_empty() && !hint.is_empty(), "{error}");
        if let Some((line, column)) = place {
            assert!((1..=lines).contains(line) && (1..=text.len() + 1).contains(column), "{error}");
        }
    }
    readable(&error.to_string());
}

/// Foreign text in a message is short and printable.
fn readable(message: &str) {
    assert!(message.len() <= LONGEST, "{} bytes: {message}", message.len());
    assert!(message.chars().all(|c| c == '\n' || !c.is_control()), "{message:?}");
}

#[cfg(test)]
mod tests {
    swfn_fuzz::corpora_hold!(super::TARGETS);
}
