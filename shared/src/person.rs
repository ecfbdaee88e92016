//! Commands to a running coordinator. gRPC, HTTP and the command line all send this JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{TrialId, WorkerId},
    problem,
    problem::Problem,
    quote::printable,
    text::count,
    wire::MAX_NAMED,
};

/// A command of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PersonCommand {
    /// Let workers finish their trials and leave.
    Drain(Drain),
    /// Try failed trials again.
    Retry(Retry),
}

/// The workers that are to leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Their ids, or beginnings of ids.
    pub workers: Vec<String>,
    /// Whether they return their trials at once.
    #[serde(default)]
    pub now: bool,
}

/// The failed trials that are to be tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// All that did not diverge.
    pub failed: bool,
    /// All, diverged ones included.
    pub diverged: bool,
    /// Ids of trials, or beginnings of ids.
    pub trials: Vec<String>,
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    /// These workers were asked to leave.
    Drained { workers: Vec<String> },
    /// Failed trials wait again.
    Retried {
        /// Number of those trials.
        trials: usize,
        /// Number of diverged trials that were left out.
        left_out: usize,
    },
}

/// Why a command was refused and changed nothing.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error("{0}")]
    Meaningless(#[source] Problem),
    /// It names something that does not exist.
    #[error("{0}")]
    Missing(#[source] Problem),
    /// It concerns something that belongs to another program.
    #[error("{0}")]
    Foreign(#[source] Problem),
}

impl PersonCommand {
    /// Reads a command.
    ///
    /// # Errors
    /// The JSON is not a command, or names nothing.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        let wrong = |error: serde_json::Error| {
            let problem = printable(&error.to_string(), 200);
            Refusal::Meaningless(problem!(
                "this is not a command: {problem}";
                "send {{\"retry\": {{\"failed\": true}}}} or {{\"drain\": {{\"workers\": [\"host:\"]}}}}"
            ))
        };
        let command: Self = serde_json::from_slice(json).map_err(wrong)?;
        let (list, names, names_more) = match &command {
            Self::Drain(Drain { workers, now: _ }) => ("drain.workers", workers, false),
            Self::Retry(Retry { trials, failed, diverged }) => {
                ("retry.trials", trials, *failed || *diverged)
            }
        };
        let problem = match names.len() {
            0 if names_more => return Ok(command),
            0 => "is empty".to_owned(),
            1..=MAX_NAMED if names.iter().any(String::is_empty) => {
                "has an empty name, with which every id begins".to_owned()
            }
            1..=MAX_NAMED => return Ok(command),
            many => format!("has {many} names, more than {MAX_NAMED}"),
        };
        Err(Refusal::Meaningless(
            problem!("`{list}` {problem}"; "name up to {MAX_NAMED} ids, or beginnings of ids"),
        ))
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain types of texts always serialise")
    }
}

impl CommandOutcome {
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain types of texts always serialise")
    }

    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl Retry {
    /// Whether the command takes this failed trial, whose last error was `error`.
    pub fn takes(&self, trial: TrialId, error: &str) -> bool {
        let id = trial.to_string();
        self.diverged
            || self.failed && !has_diverged(error)
            || self.trials.iter().any(|wanted| id.starts_with(wanted.as_str()))
    }

    /// Checks that each name belongs to one of these failed trials.
    ///
    /// # Errors
    /// A name belongs to none.
    pub fn check(&self, failed: &[TrialId]) -> Result<(), Refusal> {
        let ids: Vec<_> = failed.iter().map(ToString::to_string).collect();
        let exists = |wanted: &&String| ids.iter().any(|id| id.starts_with(wanted.as_str()));
        match self.trials.iter().find(|wanted| !exists(wanted)) {
            None => Ok(()),
            Some(wanted) => Err(Refusal::Missing(problem!(
                "no failed trial has an id that begins with `{}`", printable(wanted, 60);
                "trials.csv has their ids; `retry --failed` takes all"
            ))),
        }
    }
}

impl Drain {
    pub fn takes(&self, worker: &WorkerId) -> bool {
        let id = worker.to_string();
        self.workers.iter().any(|beginning| id.starts_with(beginning.as_str()))
    }
}

/// Whether a trial with this last error diverged, and would diverge again.
pub fn has_diverged(error: &str) -> bool {
    error.starts_with("diverged: ")
}

impl fmt::Display for CommandOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trials, left_out) = match self {
            Self::Drained { workers } => {
                return write!(formatter, "asked to leave: {}", workers.join(", "));
            }
            Self::Retried { trials, left_out } => (trials, *left_out),
        };
        write!(formatter, "trying {} again", count(*trials, "failed trial"))?;
        if left_out > 0 {
            let them = if left_out == 1 { "it" } else { "them" };
            write!(
                formatter,
                "; left out {left_out} that diverged and would diverge again (--diverged takes {them}, too)"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_json() {
        let drain = |workers: &[&str], now| {
            PersonCommand::Drain(Drain {
                workers: workers.iter().map(|id| (*id).to_owned()).collect(),
                now,
            })
        };
        for (json, command) in [
            (r#"{"drain": {"workers": ["ann"]}}"#, drain(&["ann"], false)),
            (r#"{"drain": {"workers": ["ann", "b"], "now": true}}"#, drain(&["ann", "b"], true)),
            (
                r#"{"retry": {"failed": true}}"#,
                PersonCommand::Retry(Retry { failed: true, ..Retry::default() }),
            ),
        ] {
            assert_eq!(PersonCommand::parse(json.as_bytes()), Ok(command.clone()), "{json}");
            assert_eq!(PersonCommand::parse(command.json().as_bytes()), Ok(command));
        }
        for (json, problem) in [
            ("", "not a command"),
            ("{}", "not a command"),
            (r#"{"drain": {}}"#, "missing field `workers`"),
            (r#"{"drain": {"workers": []}}"#, "`drain.workers` is empty"),
            (r#"{"drain": {"workers": ["a", ""]}}"#, "with which every id begins"),
            (r#"{"retry": {}}"#, "`retry.trials` is empty"),
            (r#"{"retry": {"faild": true}}"#, "unknown field `faild`"),
            (r#"{"stop": {}}"#, "unknown variant `stop`"),
            (r#"{"retry": {"failed": true}, "drain": {"workers": ["a"]}}"#, "not a command"),
        ] {
            let Err(Refusal::Meaningless(said)) = PersonCommand::parse(json.as_bytes()) else {
                panic!("{json}")
            };
            assert!(said.to_string().contains(problem), "{json}: {said}");
        }
    }

    #[test]
    fn results_count_the_trials_left_out() {
        let shown = |trials, left_out| CommandOutcome::Retried { trials, left_out }.to_string();
        assert_eq!(shown(1, 0), "trying 1 failed trial again");
        assert_eq!(
            shown(0, 1),
            "trying 0 failed trials again; left out 1 that diverged and would diverge again \
             (--diverged takes it, too)"
        );
        assert!(shown(3, 4).ends_with("again (--diverged takes them, too)"));
    }
}
