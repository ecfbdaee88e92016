//! The dashboard of real sweeps: it tells what the files say, to those who may know, and costs the sweep nothing.

mod api;
mod below;
mod browser;
mod crowd;
mod strangers;
mod view;

/// Two architectures, with and without function norm.
pub(crate) const AXES: &str = "seed = { count = 2 }\nsubset_size = 40\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]";

/// What a coordinator is told that a test asks.
pub(crate) const DOORS: [&str; 5] =
    ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--exit-when-done=false"];
