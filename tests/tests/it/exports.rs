//! Exports of a sweep, read by TensorBoard, pandas, DuckDB and MLflow, and the logs of its trials.

mod logs;
mod mlflow;
mod tables;
mod tensorboard;

use swfn_tests::{
    images,
    process::Process,
    sweep::{Sweep, grid},
};

/// Exports from a sweep's run directory and returns the output.
fn export(sweep: &Sweep, name: &str, arguments: &[&str]) -> String {
    let mut program = start_export(sweep, name, arguments);
    program.succeed();
    program.stdout()
}

fn start_export(sweep: &Sweep, name: &str, arguments: &[&str]) -> Process {
    let mut command = sweep.command("swfn-coordinator");
    command.arg("export").arg(sweep.run_dir()).args(arguments);
    // Exports must use neither the user's own servers nor their proxies.
    for variable in
        ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]
    {
        command.env_remove(variable);
    }
    sweep.start(&mut command, name)
}

/// Makes a sweep with two learning rates, the second of which makes trials diverge.
fn diverging_sweep(seeds: u32, iterations: u32) -> Sweep {
    let axes = format!(
        "seed = {{ count = {seeds} }}\nsubset_size = 60\narchitecture = \"net\"\nlambda = [0, 0.1]\n\
         learning_rate = [0.01, 1000.0]\n[[exclude]]\nlambda = 0.1\nlearning_rate = 1000.0"
    );
    let grid = grid(&axes, iterations, "lease_seconds = 60")
        .replace("name = \"test\"", "name = \"exported\"");
    Sweep::with_grid(&grid).on(images::few()).evaluated_every(iterations / 5)
}
