//! What other programs make of a sweep: TensorBoard, pandas, DuckDB, MLflow; and what trials said.

mod logs;
mod mlflow;
mod tables;
mod tensorboard;

use swfn_tests::{process::Process, sweep::Sweep};

/// Exports from a sweep's run directory, and returns what was printed.
fn export(sweep: &Sweep, name: &str, arguments: &[&str]) -> String {
    let mut program = start_export(sweep, name, arguments);
    program.succeed();
    program.stdout()
}

fn start_export(sweep: &Sweep, name: &str, arguments: &[&str]) -> Process {
    let mut command = sweep.command("swfn-coordinator");
    command.arg("export").arg(sweep.run_dir()).args(arguments);
    // Nothing of whoever runs the tests goes to a server, nor through somebody else's.
    for variable in ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"] {
        command.env_remove(variable);
    }
    sweep.start(&mut command, name)
}

/// A grid with two learning rates, the second of which is no rate at which anything is learnt.
fn grid_that_diverges(seeds: u32, iterations: u32) -> String {
    format!(
        "version = 1\nname = \"exported\"\n[data]\ndataset = \"synthetic\"\n[grid]\nseed = {{ count = {seeds} }}\n\
         subset_size = 60\narchitecture = \"net\"\nlambda = [0, 0.1]\nlearning_rate = [0.01, 1000.0]\n\
         [[exclude]]\nlambda = 0.1\nlearning_rate = 1000.0\n[classifier]\niterations = {iterations}\nevaluate_every = 100\n\
         [vae]\niterations = 60\n[run]\nlease_seconds = 4\n"
    )
}
