//! What a person commands of a coordinator that runs. gRPC, HTTP and the command line all bring it as this JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{TrialId, WorkerId},
    problem,
    problem::Problem,
    quote::printable,
    wire::MAX_NAMED,
};

/// What a person commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PersonCommand {
    /// Workers are to finish what they hold, and to leave.
    Drain(Drain),
    /// Trials that were given up are to be tried again.
    Retry(Retry),
}

/// Which workers are to leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Their ids, or how they begin.
    pub workers: Vec<String>,
    /// What they hold is taken back at once.
    #[serde(default)]
    pub now: bool,
}

/// Which of the trials that were given up are to be tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// All that did not diverge.
    pub failed: bool,
    /// All, also those that diverged.
    pub diverged: bool,
    /// The ids of some, or how they begin.
    pub trials: Vec<String>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commanded {
    /// These workers were told to leave.
    Drained {
        /// Their ids.
        workers: Vec<String>,
    },
    /// Trials were put back.
    Retried {
        /// How many.
        trials: usize,
        /// How many that diverged were left out.
        left_out: usize,
    },
}

/// Why a command is not carried out; nothing has changed.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It means nothing.
    #[error("{0}")]
    Meaningless(#[source] Problem),
    /// What it names is not there.
    #[error("{0}")]
    Missing(#[source] Problem),
    /// It is about what belongs to somebody else.
    #[error("{0}")]
    Foreign(#[source] Problem),
}

impl PersonCommand {
    /// Reads a command.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        let wrong = |error: serde_json::Error| {
            let problem = printable(&error.to_string(), 200);
            Refusal::Meaningless(problem!(
                "this is no command: {problem}";
                "say {{\"retry\": {{\"failed\": true}}}} or {{\"drain\": {{\"workers\": [\"host:\"]}}}}"
            ))
        };
        let command: Self = serde_json::from_slice(json).map_err(wrong)?;
        let (what, names) = match &command {
            Self::Drain(Drain { workers, now: _ }) => ("drain.workers", Some(workers)),
            Self::Retry(Retry { trials, failed: false, diverged: false }) => {
                ("retry.trials", Some(trials))
            }
            Self::Retry(Retry { trials, .. }) => {
                ("retry.trials", Some(trials).filter(|trials| !trials.is_empty()))
            }
        };
        let Some(names) = names else { return Ok(command) };
        let problem = match names.len() {
            0 => "names nobody".to_owned(),
            1..=MAX_NAMED if names.iter().any(String::is_empty) => {
                "has an empty name, which would be the beginning of all".to_owned()
            }
            1..=MAX_NAMED => return Ok(command),
            many => format!("has {many} names, more than {MAX_NAMED}"),
        };
        Err(Refusal::Meaningless(
            problem!("`{what}` {problem}"; "name up to {MAX_NAMED} ids, or how they begin"),
        ))
    }

    /// The command as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain types of texts always serialise")
    }
}

impl Commanded {
    /// What has come of a command, as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("plain types of texts always serialise")
    }

    /// The same, read; nothing if it means nothing.
    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl Retry {
    /// Whether a trial that was given up, for this reason, is among them.
    pub fn takes(&self, trial: TrialId, error: &str) -> bool {
        let id = trial.to_string();
        self.diverged
            || self.failed && !has_diverged(error)
            || self.trials.iter().any(|wanted| id.starts_with(wanted.as_str()))
    }

    /// A name that is none of these trials' is a mistake.
    pub fn check(&self, failed: &[TrialId]) -> Result<(), Refusal> {
        let ids: Vec<_> = failed.iter().map(ToString::to_string).collect();
        match self
            .trials
            .iter()
            .find(|wanted| !ids.iter().any(|id| id.starts_with(wanted.as_str())))
        {
            None => Ok(()),
            Some(wanted) => Err(Refusal::Missing(problem!(
                "no failed trial has an id that begins with `{}`", printable(wanted, 60);
                "trials.csv has their ids; `retry --failed` takes all"
            ))),
        }
    }
}

impl Drain {
    /// Whether a worker is among them.
    pub fn takes(&self, worker: &WorkerId) -> bool {
        let id = worker.to_string();
        self.workers.iter().any(|beginning| id.starts_with(beginning.as_str()))
    }
}

/// Whether a trial was given up because it diverged, and would diverge again. `error`: its last.
pub fn has_diverged(error: &str) -> bool {
    error.starts_with("diverged: ")
}

impl fmt::Display for Commanded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained { workers } => write!(formatter, "told to leave: {}", workers.join(", ")),
            Self::Retried { trials, left_out } => {
                let plural = if *trials == 1 { "" } else { "s" };
                write!(formatter, "trying again {trials} trial{plural} that failed")?;
                match left_out {
                    0 => Ok(()),
                    1 => formatter.write_str(
                        "; 1 diverged and would diverge again: left out (--diverged takes it, too)",
                    ),
                    _ => write!(
                        formatter,
                        "; {left_out} diverged and would diverge again: left out (--diverged takes them, too)"
                    ),
                }
            }
        }
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
            ("", "no command"),
            ("{}", "no command"),
            (r#"{"drain": {}}"#, "missing field `workers`"),
            (r#"{"drain": {"workers": []}}"#, "`drain.workers` names nobody"),
            (r#"{"drain": {"workers": ["a", ""]}}"#, "the beginning of all"),
            (r#"{"retry": {}}"#, "`retry.trials` names nobody"),
            (r#"{"retry": {"faild": true}}"#, "unknown field `faild`"),
            (r#"{"stop": {}}"#, "unknown variant `stop`"),
            (r#"{"retry": {"failed": true}, "drain": {"workers": ["a"]}}"#, "no command"),
        ] {
            let Err(Refusal::Meaningless(said)) = PersonCommand::parse(json.as_bytes()) else {
                panic!("{json}")
            };
            assert!(said.to_string().contains(problem), "{json}: {said}");
        }
    }

    #[test]
    fn what_is_left_out_is_told() {
        let told = |trials, left_out| Commanded::Retried { trials, left_out }.to_string();
        assert_eq!(told(1, 0), "trying again 1 trial that failed");
        assert!(told(0, 1).ends_with(
            "0 trials that failed; 1 diverged and would diverge again: left out (--diverged takes it, too)"
        ));
        assert!(told(3, 4).contains("; 4 diverged and would"));
    }
}
