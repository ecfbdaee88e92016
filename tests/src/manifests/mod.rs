//! A linter for rendered Kubernetes manifests. It finds defects that Kubernetes' schemas cannot:
//! those between several documents, and those between a document and the programs.
//!
//! ```text
//! YAML of an overlay -> Rendering -> lint(rendering, facts) -> findings
//!                                               |
//!            Facts: options and variables (from --help),
//!                   metrics and their labels (from the coordinator's source)
//! ```
//!
//! The rules are pure; the tests render the overlays and run the programs.

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
