//! All scenarios with the numbers of the promises: `make chaos`; and each planted bug against those that must notice it: `make mutants`.

use std::{env, process::ExitCode, time::Instant};

use swfn_tests::chaos::scenario;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let scenario = scenario::named(&arguments[0]).expect("a scenario");
    let start = Instant::now();
    let count = arguments[1].parse().expect("a number");
    println!("{:?} {:?}", (scenario.run)(count), start.elapsed());
    ExitCode::SUCCESS
}
