//! The table holds together, and the canonical JSON is read as strictly as it is written.

use std::collections::HashSet;

use super::*;

#[test]
fn rows_are_complete_with_published_defaults() {
    let paths: HashSet<_> = AXES.iter().map(|row| row.path).collect();
    assert_eq!(paths.len(), AXES.len());
    for axis in Axis::all() {
        assert!(
            axis.label.contains("{}") && !axis.title.is_empty() && axis.purpose.ends_with('.'),
            "{axis:?}"
        );
        assert!(!matches!(axis.access, Access::Open) || matches!(axis.kind, Kind::Real(_)));
        if let Some(default) = axis.default() {
            assert_eq!(axis.check(default), Ok(default), "{axis:?}");
        }
        assert!(axis.section == Section::Derived || !axis.example().is_empty(), "{axis:?}");
    }
    let grid: Vec<_> = Axis::in_grid().iter().map(|axis| axis.name).collect();
    let names = [
        "seed",
        "subset_size",
        "architecture",
        "weight_decay",
        "learning_rate",
        "density",
        "penalty_samples",
        "lambda",
    ];
    assert!(grid.iter().filter(|name| names.contains(name)).eq(names.iter()), "{grid:?}");
}

#[test]
fn canonical_json_survives_parsing() {
    for spec in [TrialSpec::PUBLISHED, TrialSpec::PUBLISHED.with(LAMBDA, Value::Real(0.25))] {
        assert_eq!(TrialSpec::parse(&spec.to_json()), Ok(spec));
    }
}

#[test]
fn other_texts_are_refused_with_path_and_reason() {
    let text = TrialSpec::PUBLISHED.with(LAMBDA, Value::Real(0.25)).to_json();
    let with = |old: &str, new: &str| {
        assert!(text.contains(old), "{old}: {text}");
        TrialSpec::parse(&text.replace(old, new)).unwrap_err().to_string()
    };
    let errors = [
        TrialSpec::parse("{").unwrap_err().to_string(),
        with("\"seed\":0", "\"seed\":-1"),
        with("\"seed\":0,", ""),
        with("\"seed\":0", "\"seed\":0,\"sede\":0"),
        with("\"momentum\":0.5", "\"momentum\":1.5"),
        with("\"architecture\":\"net\"", "\"architecture\":\"tent\""),
        with("\"subset_size\":100", "\"subset_size\":60001"),
        with("\"batch_size\":10", "\"batch_size\":200"),
        with("\"hidden\":128", "\"hidden\":128,\"height\":3"),
        with("{\"name\":\"mnist\"}", "{\"name\":\"moonist\"}"),
        with("{\"name\":\"mnist\"}", "{\"name\":\"mnist\",\"seed\":3}"),
        with("\"seed\":0", "\"seed\": 0"),
        with("\"lambda\":0.25,", ""),
        with("\"family\":\"vanilla\"", "\"family\":\"convolutional\""),
    ];
    insta::assert_snapshot!(errors.map(|error| error + "\n").concat());
}
