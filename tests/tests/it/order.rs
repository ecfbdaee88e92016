//! A sweep that is stopped in the middle has results of each cell.

use std::collections::HashMap;

use swfn_tests::{permit, sweep::Sweep};

/// Returns the cell of each trial.
fn cells(sweep: &Sweep) -> HashMap<String, String> {
    let database = sweep.database().unwrap();
    let mut query = database.prepare("SELECT id, cell FROM trial").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn halfway_each_cell_has_half_its_seeds() {
    let _permit = permit::to_compute();
    let axes = "seed = { count = 4 }\nsubset_size = 40\narchitecture = [\"net\", \"lenet\", \"net+dropout\"]\nlambda = [0, 0.1]";
    for workers in ["1", "2"] {
        let sweep = Sweep::new(axes, 10);
        sweep.coordinator("run", &["--local-workers", workers]).succeed();
        let cells = cells(&sweep);
        let mut done: HashMap<&str, i32> = cells.values().map(|cell| (&**cell, 0)).collect();
        assert_eq!((cells.len(), done.len()), (24, 6));
        let journal = sweep.journal();
        for line in journal.iter().filter(|line| line.kind == "succeeded").take(12) {
            *done.get_mut(&*cells[&line.trial]).unwrap() += 1;
        }
        assert!(done.values().all(|count| (1..=3).contains(count)), "{workers} workers: {done:?}");
    }
}
