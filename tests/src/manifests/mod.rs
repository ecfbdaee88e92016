//! A linter for rendered Kubernetes manifests: what the schemas of Kubernetes cannot know, since it is about several documents at once, or
//! about what the programs really have.
//!
//! ```text
//! YAML of an overlay -> Rendering -> lint(rendering, facts) -> findings
//!                                               |
//!            Facts: options and variables (from --help), metrics and their labels (from the coordinator's source)
//! ```
//!
//! The rules are pure; who renders and who asks the programs is the test.

mod container;
mod facts;
mod fault;
mod finding;
mod node;
mod pod;
mod promql;
mod quantity;
mod rendering;
mod rules;

pub use facts::{Facts, Interface};
pub use fault::Fault;
pub use finding::Finding;
pub use rendering::Rendering;
pub use rules::{RULES, lint};
