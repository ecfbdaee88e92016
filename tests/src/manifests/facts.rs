//! Facts about the programs, from the programs themselves.

use std::collections::{BTreeMap, BTreeSet};

use swfn_shared::state::TrialState;

use super::promql::words;

/// The facts with which the rules compare manifests.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The version of the programs and of their images.
    pub version: String,
    /// Interfaces by program, or by program and subcommand: `swfn-worker drain`.
    pub interfaces: BTreeMap<String, Interface>,
    /// Names of metrics in Prometheus' form, including `_bucket` and the like of histograms.
    pub metrics: BTreeSet<String>,
    /// The values of the labels `state` and `how`.
    pub label_values: BTreeMap<&'static str, BTreeSet<String>>,
}

/// The options and variables of a program.
#[derive(Debug, Clone, Default)]
pub struct Interface {
    /// Options, and whether a value follows.
    pub options: BTreeMap<String, bool>,
    /// Environment variables.
    pub variables: BTreeSet<String>,
}

/// Options are indented by at most this much, their descriptions by more.
const INDENT: usize = 6;

impl Interface {
    /// Reads the output of `--help`.
    pub fn from_help(help: &str) -> Self {
        let mut interface = Self::default();
        for line in help.lines() {
            let option = line.trim_start();
            if line.len() - option.len() <= INDENT && option.starts_with('-') {
                let name =
                    option.split_whitespace().find(|word| word.starts_with("--")).unwrap_or("");
                let after = option
                    .split_once(name)
                    .map_or("", |(_, after)| after.trim_start_matches([' ', '.']));
                interface.options.insert(name.to_owned(), after.starts_with(['<', '[']));
            }
        }
        let is_variable = |word: &&str| {
            let signs =
                |sign: char| sign.is_ascii_uppercase() || sign.is_ascii_digit() || sign == '_';
            word.contains('_')
                && word.starts_with(|sign: char| sign.is_ascii_uppercase())
                && word.chars().all(signs)
        };
        interface.variables.extend(words(help).filter(is_variable).map(str::to_owned));
        interface
    }
}

impl Facts {
    /// Reads names and label values of metrics from the coordinator's source file.
    pub fn learn_metrics(&mut self, source: &str) {
        let texts =
            |line: &str| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let histograms = source.lines().find(|line| line.starts_with("const HISTOGRAMS"));
        let (_, histograms) = histograms.and_then(|line| line.rsplit_once('[')).unwrap_or_default();
        let mut name = "";
        for line in source.lines() {
            if let Some((constant, _)) =
                line.strip_prefix("const ").and_then(|rest| rest.split_once(": Metric ="))
            {
                name = constant;
            }
            let Some(value) =
                texts(line).into_iter().next().filter(|value| value.starts_with("swfn_"))
            else {
                continue;
            };
            if histograms.split([',', ']']).any(|histogram| histogram.trim() == name) {
                self.metrics
                    .extend(["_bucket", "_sum", "_count"].map(|part| format!("{value}{part}")));
            } else {
                self.metrics.insert(value);
            }
        }
        let states = TrialState::ALL.iter().map(|state| state.name().to_owned());
        self.label_values.insert("state", states.collect());
        let ends = source.lines().filter(|line| line.starts_with("const ENDS")).flat_map(texts);
        self.label_values.insert("how", ends.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, Interface};

    #[test]
    fn options_and_variables_are_read_from_help() {
        let help = "Usage: x\n\nOptions:\n      --grid <FILE>\n          The file; see\n          \
                    --other and $SWFN_CACHE [env: SWFN_GRID=]\n      \
                    --insecure       Listen\n      --exit [<BOOL>]  Whether\n  -h, --help           Print help";
        let Interface { options, variables } = Interface::from_help(help);
        let options: Vec<_> = options.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(
            options,
            [("--exit", true), ("--grid", true), ("--help", false), ("--insecure", false)]
        );
        assert_eq!(Vec::from_iter(variables), ["SWFN_CACHE", "SWFN_GRID"]);
    }

    #[test]
    fn metrics_are_read_from_the_source() {
        let source = "const A: Metric = (\"swfn_a\", \"a\");\n\
                      const BS: Metric =\n    (\"swfn_b_seconds\", \"seconds of b\");\n\
                      const X: &str = \"other\";\nconst HISTOGRAMS: [Metric; 1] = [BS];\n\
                      const ENDS: [&str; 2] = [\"lost\", \"failed\"];\n";
        let mut facts = Facts::default();
        facts.learn_metrics(source);
        assert_eq!(
            Vec::from_iter(&facts.metrics),
            ["swfn_a", "swfn_b_seconds_bucket", "swfn_b_seconds_count", "swfn_b_seconds_sum"]
        );
        assert_eq!(
            Vec::from_iter(&facts.label_values["state"]),
            ["leased", "pending", "quarantined", "succeeded"]
        );
        assert_eq!(Vec::from_iter(&facts.label_values["how"]), ["failed", "lost"]);
    }
}
