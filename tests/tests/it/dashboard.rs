//! The dashboard of real sweeps: it shows the contents of the files, admits only those who may see
//! them, and costs the sweep nothing.

mod api;
mod below;
mod browser;
mod crowd;
mod strangers;
mod view;

/// Two architectures, with and without function norm.
pub(crate) const AXES: &str = "seed = { count = 2 }\nsubset_size = 40\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]";

/// Options of a coordinator whose dashboard a test uses.
pub(crate) const DOORS: [&str; 5] =
    ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--exit-when-done=false"];
