//! Files of an export, read by pandas, pyarrow and DuckDB, and the examples of the document about
//! the database.

use std::path::Path;

use swfn_tests::{
    python::{python, script},
    sweep::Sweep,
};

use super::{diverging_sweep, export};

#[test]
fn all_formats_agree_and_schema_examples_work() {
    let sweep = diverging_sweep(2, 100);
    assert_eq!(sweep.coordinator("coordinator", &["--local-workers", "2"]).wait(), Some(3));
    let output =
        export(&sweep, "export", &["--format", "csv", "--format", "jsonl", "--format", "parquet"]);
    let folder = sweep.run_dir().join("export");
    assert_eq!(output.lines().count(), 12);
    assert!(
        output
            .lines()
            .all(|path| Path::new(path).is_file() && path.starts_with(folder.to_str().unwrap())),
        "{output}"
    );
    let Some(python) = python() else { return };
    let read = script(python, "tables.py", &[folder.to_str().unwrap()]);
    let rows = |table: &str| read[table]["rows"].as_array().unwrap();
    let trials = sweep.csv("trials.csv");
    assert_eq!((rows("trials").len(), trials.len()), (6, 6));
    for (row, trial) in rows("trials").iter().zip(&trials) {
        assert_eq!(row["trial"], trial["trial"].as_str());
        let accuracy =
            row["final_test_accuracy"].as_f64().map(|value| value.to_string()).unwrap_or_default();
        assert_eq!(accuracy, trial["final_test_accuracy"]);
        assert_eq!(
            (&row["settings"]["seed"], row["seed"].to_string()),
            (&row["seed"], trial["seed"].clone())
        );
        assert_eq!(row["error"].as_str().unwrap_or_default(), trial["error"]);
        for name in ["network", "regulariser"] {
            assert_eq!(row[name], trial[name].as_str());
        }
        assert_eq!(row["error"].is_null(), trial["state"] == "succeeded");
    }
    let counts = [
        (
            "points",
            "SELECT count(*) FROM point JOIN trial ON number = trial AND trial.attempt = point.attempt",
        ),
        ("events", "SELECT count(*) FROM event"),
        ("workers", "SELECT count(*) FROM worker"),
    ];
    for (table, sql) in counts {
        assert_eq!(rows(table).len() as i64, sweep.query(sql).unwrap(), "{table}");
    }
    let types = [
        ("trials", "seed", "int64"),
        ("points", "value", "double"),
        ("events", "quarantine", "bool"),
    ];
    for (table, column, kind) in types.into_iter().chain([("trials", "error", "string")]) {
        assert_eq!(read[table]["types"][column], kind);
    }
    assert!(read["trials"]["by"].as_str().unwrap().starts_with("swfn "));

    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../coordinator/SCHEMA.md");
    let text = script(
        python,
        "document.py",
        &[document.to_str().unwrap(), sweep.run_dir().to_str().unwrap()],
    );
    let text = text.as_array().unwrap();
    let of = |language: &str| text.iter().filter(|block| block[0] == language).count();
    assert!(of("python") >= 3 && of("sql") >= 3, "{text:?}");
    for block in text {
        assert!(
            block[1].as_i64().is_some_and(|rows| rows > 0),
            "an example that finds nothing shows nothing: {text:?}"
        );
    }
    let hours = text.iter().find_map(|block| block[2].as_f64()).expect("an example adds up hours");
    let expected = device_seconds(&sweep);
    assert!((hours * 3600.0 - expected).abs() < 0.001, "{hours} h are not {expected} s");
}

/// Adds up the time for which workers held trials, as the report counts it: two trials held at a
/// time count once.
fn device_seconds(sweep: &Sweep) -> f64 {
    let sql = "SELECT begun.worker, begun.at, ended.at FROM event AS begun
               JOIN event AS ended ON ended.trial = begun.trial AND ended.attempt = begun.attempt AND ended.sequence > begun.sequence
               WHERE begun.kind = 'leased' AND ended.kind IN ('succeeded', 'failed') ORDER BY begun.worker, begun.at";
    let database = sweep.database().unwrap();
    let mut query = database.prepare(sql).unwrap();
    let spans = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let (mut of, mut end, mut sum) = (String::new(), 0.0, 0.0);
    for (worker, from, to) in spans.map(Result::<(String, f64, f64), _>::unwrap) {
        if worker != of {
            (of, end) = (worker, f64::NEG_INFINITY);
        }
        sum += (to - from.max(end)).max(0.0);
        end = end.max(to);
    }
    sum
}
