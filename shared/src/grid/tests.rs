//! The expansion against a naive oracle, and every message that a wrong file gets.

use std::collections::HashSet;

use super::{DEFAULT_MAX_TRIALS, Grid, GridError};
use crate::{
    artifacts::Artifacts,
    dataset::{Dataset, Sizes},
    image::ImageShape,
    trial::{Architecture, Epochs, Precision, TrialSpec},
};
use proptest::prelude::*;

pub(super) const BASE: &str = r#"version = 1
name = "test"
[data]
dataset = "mnist"
[grid]
seed = { count = 2 }
subset_size = [100, 300]
architecture = ["net", "lenet"]
lambda = [0, 0.1]
"#;

const OWN: &str = r#""idx"
digest = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
height = 32
width = 64
classes = 26
train_images = 300
test_images = 60
"#;

pub(super) fn parse(text: &str) -> Result<Grid, GridError> {
    Grid::parse("grid.toml", text, DEFAULT_MAX_TRIALS)
}

fn lines(grid: &Grid) -> String {
    grid.trials().map(|trial| line(&trial) + "\n").collect()
}

fn line(t: &TrialSpec) -> String {
    let density = if let "none" | "vae" = t.density() {
        String::new()
    } else {
        format!(" on {}", t.density())
    };
    format!(
        "seed {} n {} {} wd {} lr {} M {} lambda {}{density}",
        t.seed,
        t.subset_size,
        t.architecture,
        t.weight_decay(),
        t.learning_rate,
        t.penalty_samples(),
        t.lambda()
    )
}

#[test]
fn seeds_are_outermost_and_lambda_innermost() {
    insta::assert_snapshot!(lines(&parse(BASE).unwrap()));
}

#[test]
fn zip_exclude_and_include() {
    let text = r#"version = 1
name = "test"
[data]
dataset = "synthetic"
seed = 7
[grid]
seed = [5]
architecture = ["net", "lenet+bn"]
subset_size = 100
learning_rate = { log10 = [-3, -1], count = 3 }
[[zip]]
lambda = [0, 0.1]
weight_decay = [5e-4, 0]
[[exclude]]
architecture = "net"
learning_rate = [0.001, 0.1]
[[include]]
architecture = "lenet"
lambda = 1
weight_decay = 0.5
learning_rate = 0.01
"#;
    insta::assert_snapshot!(lines(&parse(text).unwrap()));
}

#[test]
fn settings_without_effect_make_no_second_trial() {
    let grid = parse(&(BASE.to_owned() + "penalty_samples = [20, 100]\n")).unwrap();
    // Without the function norm the number of its samples is nothing: 2 x 2 x 2 x (1 + 2).
    assert_eq!(grid.trials().count(), 24);
    let ids: HashSet<_> = grid.trials().map(|trial| trial.id()).collect();
    assert_eq!(ids.len(), 24);
    let vaes: HashSet<_> = grid.trials().filter_map(|trial| trial.vae()).collect();
    assert_eq!(vaes.len(), 4, "one VAE per subset size and seed, whatever else varies");
    let cells: HashSet<_> = grid.trials().map(|trial| trial.cell()).collect();
    assert_eq!(cells.len(), 12);
    let shapes: HashSet<_> = grid.trials().map(|trial| trial.shape()).collect();
    assert_eq!(shapes.len(), 6, "architecture x (none, 20, 100 samples)");
}

#[test]
fn lanes_of_one_shape_compute_the_same() {
    let ids = |section: &str| {
        let trial = parse(&(BASE.to_owned() + section)).unwrap().trials().nth(1).unwrap();
        (trial.shape(), trial.vae(), trial.id())
    };
    let (shape, vae, id) = ids("");
    let (longer, same_vae, other) = ids("[classifier]\niterations = 20_000\n");
    assert!(longer == shape && same_vae == vae && other != id);
    for (section, has_its_vae) in [
        ("[classifier]\nevaluate_every = 500\n", true),
        ("[classifier]\nepochs = \"restart\"\nrestart_every = 500\n", true),
        ("[classifier]\nbatch_size = 20\n", true),
        ("[vae]\niterations = 20_000\n", false),
        ("[classifier]\nprecision = \"tf32\"\n", false),
    ] {
        let (other_shape, other_vae, other) = ids(section);
        assert!(other_shape != shape && other != id, "{section}");
        assert_eq!(other_vae == vae, has_its_vae, "{section}");
    }
}

#[test]
fn the_documented_and_the_example_grids_are_right() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/grid.md")).unwrap();
    let example = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    // 10 seeds x 2 zipped pairs x (7 pairs of subset size and architecture x 4 lambdas + 2 subset
    // sizes of the include).
    assert_eq!(parse(example).unwrap().trials().count(), 10 * 2 * (7 * 4 + 2));
    let shown =
        "grid.toml:9:14: lambda `-0.1` is negative\nhint: write for example `lambda = [0, 0.1]`";
    assert!(page.contains(shown));
    let folders = ["coordinator/grids", "coordinator/grids/ablations"];
    let grids = folders.iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let grids = grids.map(|entry| entry.unwrap().path());
    let files: Vec<_> = grids
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    assert!(files.len() >= 11);
    for file in files {
        Grid::parse(
            &file.display().to_string(),
            &std::fs::read_to_string(&file).unwrap(),
            DEFAULT_MAX_TRIALS,
        )
        .unwrap();
    }
}

#[test]
fn ids_are_pinned() {
    let trial = parse(BASE).unwrap().trials().nth(1).unwrap();
    insta::assert_snapshot!(format!("{}\n{}", trial.to_json(), trial.id()));
}

#[test]
fn own_images_are_part_of_the_identity() {
    let grid = parse(&BASE.replace("\"mnist\"", OWN)).unwrap();
    let trial = grid.trials().nth(1).unwrap();
    insta::assert_snapshot!(format!("{}\n{}", trial.to_json(), trial.id()));
    let image = ImageShape::grey(32, 64);
    assert_eq!(
        grid.dataset().sizes(),
        Sizes { image, classes: 26, train_images: 300, test_images: 60 }
    );
    let Dataset::Idx(own) = grid.dataset() else { panic!("{:?}", grid.dataset()) };
    assert_eq!(own.to_toml(), format!("[data]\ndataset = {OWN}"));
    let ids = |text: &str| {
        parse(&BASE.replace("\"mnist\"", text))
            .unwrap()
            .trials()
            .map(|t| t.id())
            .collect::<Vec<_>>()
    };
    let coloured = OWN.replace("classes", "channels = 3\nclasses");
    let Dataset::Idx(own) = parse(&BASE.replace("\"mnist\"", &coloured)).unwrap().dataset() else {
        panic!("its own")
    };
    assert_eq!(own.to_toml(), format!("[data]\ndataset = {coloured}"));
    let others = [
        OWN.replace("0011", "0012"),
        OWN.replace("= 32", "= 33"),
        OWN.replace("= 26", "= 27"),
        coloured,
    ];
    let distinct: HashSet<_> =
        [OWN.to_owned()].iter().chain(&others).flat_map(|text| ids(text)).collect();
    assert_eq!(distinct.len(), 5 * 16);
}

#[test]
fn only_some_densities_need_a_vae() {
    let text = BASE.to_owned()
        + "density = [\"vae\", \"conv-vae\", \"data\", \"uniform-noise\", \"gaussian-noise\"]\n";
    let grid = parse(&text).unwrap();
    // 2 seeds x 2 sizes x 2 architectures x (none + 5 densities).
    assert_eq!(grid.trials().count(), 48);
    assert_eq!(grid.trials().filter(|trial| trial.vae().is_some()).count(), 16);
    assert_eq!(grid.trials().filter(|trial| trial.steps() == 20_000).count(), 16);
    let vaes: HashSet<_> = grid.trials().filter_map(|trial| trial.vae()).collect();
    assert_eq!(vaes.len(), 8, "one of each family per subset");
    let quirks = "[penalty]\nunits = \"normalised\"\nbatch_norm = \"eval\"\n[vae]\nlatent_statistics = \"subset\"\n";
    let other =
        parse(&(text.replace("\"mnist\"", "\"mnist\"\nsampling = \"balanced\"") + quirks)).unwrap();
    let ids: HashSet<_> = grid.trials().chain(other.trials()).map(|trial| trial.id()).collect();
    assert_eq!(ids.len(), 96, "every setting is part of the identity");
    let subsets: HashSet<_> =
        grid.trials().chain(other.trials()).map(|trial| trial.subset()).collect();
    assert_eq!(subsets.len(), 8);
}

#[test]
fn artifacts_are_no_part_of_a_trial() {
    let plain = parse(BASE).unwrap();
    assert_eq!(plain.artifacts, Artifacts::default());
    let grid = parse(&format!("{BASE}[artifacts]\nweights = true\nconfusion = true\n")).unwrap();
    assert_eq!(grid.artifacts, Artifacts { weights: true, vae_sheet: false, confusion: true });
    assert_eq!(lines(&grid), lines(&plain));
    let error = parse(&format!("{BASE}[artifacts]\nweights = 1\n")).unwrap_err();
    assert_eq!(error.mistakes[0].problem, "weights `1` is not true or false");
}

#[test]
fn zipped_values_may_repeat_but_not_their_pairs() {
    let zip = |rates: &str| {
        let text = BASE.replace("architecture = [\"net\", \"lenet\"]\n", "");
        parse(&format!(
            "{text}[[zip]]\narchitecture = [\"net\", \"lenet\", \"net\"]\nlearning_rate = {rates}\n"
        ))
    };
    assert_eq!(zip("[0.01, 0.01, 0.02]").unwrap().trials().count(), 2 * 2 * 2 * 3);
    let error = zip("[0.01, 0.02, 0.01]").unwrap_err();
    assert_eq!(
        error.mistakes[0].problem,
        "[[zip]]: architecture `net` and learning_rate `0.01` stand together twice"
    );
}

#[test]
fn a_huge_grid_is_refused_before_listing() {
    let start = std::time::Instant::now();
    let huge = BASE.replace("count = 2", "count = 1_000_000_000_000");
    let error = parse(&huge).unwrap_err().to_string();
    assert!(error.contains("`8000000000000` points"), "{error}");
    let beyond = huge.clone() + "weight_decay = { log10 = [-5, 0], count = 1000000000000 }\n";
    assert!(parse(&beyond).unwrap_err().to_string().contains("more than 2^64"));
    assert!(start.elapsed().as_millis() < 500);
}

#[test]
fn wrong_files_get_a_place_and_a_hint() {
    let swap = |from: &str, to: &str| {
        assert!(BASE.contains(from), "{from}");
        BASE.replace(from, to)
    };
    let wrong = [
        swap("lambda = [0, 0.1]", "lambda = [0, nan]"),
        swap("lambda = [0, 0.1]", "lambda = [0, inf]"),
        swap("lambda = [0, 0.1]", "lambda = [0, 1e-400]"),
        swap("lambda = [0, 0.1]", "lambda = [0, -0.1]"),
        swap("lambda = [0, 0.1]", "lambda = [0.1, 0.10]"),
        swap("lambda = [0, 0.1]", "lambda = [0, -0.0]"),
        swap("lambda = [0, 0.1]", "lambda = []"),
        swap("lambda = [0, 0.1]", "lambda = \"much\""),
        swap("lambda = [0, 0.1]", ""),
        swap("lambda = [0, 0.1]", "lambda = { log10 = [-3, 400], count = 4 }"),
        swap("lambda = [0, 0.1]", "lambda = { log10 = [-3], count = 4 }"),
        swap("lambda = [0, 0.1]", "lambda = { count = 4 }"),
        swap("lambda = [0, 0.1]", "lamda = [0, 0.1]"),
        swap("[100, 300]", "[100, 60001]"),
        swap("[100, 300]", "[5]"),
        swap("[100, 300]", "[100.5]"),
        swap("[\"net\", \"lenet\"]", "[\"net\", \"resnet\"]"),
        swap("count = 2", "count = 0"),
        swap("count = 2", "count = 2, step = 3"),
        swap("count = 2", "start = 9223372036854775807, count = 2"),
        swap("version = 1", "version = 2"),
        swap("version = 1\n", ""),
        swap("\"test\"", "\"../up\""),
        swap("\"mnist\"", "\"imagenet\""),
        swap("\"mnist\"", "\"mnist\"\nseed = 1"),
        swap("\"mnist\"", "\"mnist\"\nclasses = 10"),
        swap("\"mnist\"", "\"idx\""),
        swap("\"mnist\"", &OWN.replace("width = 64\n", "")),
        swap("\"mnist\"", &OWN.replace("0011", "001")),
        swap("\"mnist\"", &OWN.replace("height = 32", "height = 15")),
        swap("\"mnist\"", &OWN.replace("width = 64", "width = 65")),
        swap("\"mnist\"", &OWN.replace("classes = 26", "classes = 257")),
        swap("\"mnist\"", &OWN.replace("classes = 26", "channels = 4\nclasses = 26")),
        swap("\"mnist\"", &OWN.replace("test_images = 60", "test_images = 0")),
        swap("\"mnist\"", &OWN.replace("train_images = 300", "train_images = 299")),
        swap("\"mnist\"", &(OWN.to_owned() + "seed = 1\n")),
        swap("[data]", "[data"),
        BASE.to_owned() + "[classifier]\niterations = 0\n",
        BASE.to_owned() + "[classifier]\nmomentum = 1\n",
        BASE.to_owned() + "[classifier]\nprecision = \"float16\"\n",
        BASE.to_owned() + "[classifier]\nepochs = \"restart\"\nevaluate_every = 50\n",
        BASE.to_owned() + "[classifier]\nrestart_every = 50\n",
        BASE.to_owned() + "[classifier]\nepochs = \"continuous\"\nrestart_every = 50\n",
        BASE.to_owned() + "[classifier]\nepochs = \"restart\"\nrestart_every = 0\n",
        BASE.to_owned() + "[classifier]\nepochs = \"endless\"\n",
        BASE.to_owned() + "[vae]\nlatent = 99999999\n",
        BASE.to_owned() + "[vae]\nwidth = 3\n",
        BASE.to_owned() + "[run]\nmax_failures = -1\n",
        BASE.to_owned() + "[[zip]]\nlambda = [0]\nweight_decay = [0]\n",
        BASE.to_owned() + "[[zip]]\nlearning_rate = [0.1, 0.2]\nweight_decay = [0]\n",
        BASE.to_owned() + "[[zip]]\nlearning_rate = [0.1, 0.2]\n",
        BASE.to_owned()
            + "[[zip]]\nlearning_rate = [0.1, 0.2]\nweight_decay = [0, 1]\n[[include]]\nweight_decay = 3\n",
        BASE.to_owned()
            + "[[zip]]\nlearning_rate = [1, 2]\nweight_decay = [0, 1]\n[[zip]]\nlearning_rate = [1, 2]\npenalty_samples = [3, 4]\n",
        BASE.to_owned() + "[run]\nlease_seconds = 3\n",
        BASE.to_owned() + "[run]\nlease_seconds = 100\nstall_seconds = 99\n",
        swap("[100, 300]", "[100, 10]"),
        swap("\"lenet\"]", "\"lenet+bn\"]\npenalty_samples = [1, 2]"),
        BASE.to_owned() + "density = \"gan\"\n",
        BASE.to_owned() + "[penalty]\nunits = \"pixels\"\n",
        BASE.to_owned() + "[penalty]\nlambda = 1\n",
        BASE.to_owned() + "[vae]\nlatent_statistics = 3\n",
        BASE.replace("\"mnist\"", "\"mnist\"\nsampling = \"stratified\""),
        BASE.to_owned() + "[[exclude]]\nlambda = []\n",
        BASE.to_owned() + "[[exclude]]\n",
        BASE.to_owned() + "[[exclude]]\nseed = [0, 1]\n",
        BASE.to_owned() + "[[exclude]]\nlambda = 0.2\n",
        BASE.to_owned() + "[[include]]\nlambda = 0.1\n",
        BASE.to_owned() + "[[include]]\nlambda = 1\n[[exclude]]\nlambda = 1\n",
        swap("{ count = 2 }", "5"),
        swap("{ count = 2 }", "-5"),
        BASE.to_owned() + "[[include]]\nseed = 5\n",
        BASE.to_owned() + "[classifier]\niterations = 300\nevaluate_every = 301\n",
        swap("lambda = [0, 0.1]", "lambda = \"0.1\""),
        swap("lambda = [0, 0.1]", "lambda = [0, \"0.1\"]"),
        swap("seed = { count = 2 }", "seeds = 2"),
        swap("\"lenet\"]", "\"lenet5\"]"),
        swap("\"mnist\"", "\"MNIST\""),
        BASE.to_owned() + "dropout = [0, 0.5]\n",
        BASE.to_owned() + "iterations = 300\n",
        BASE.to_owned() + "lr = 0.1\n",
        BASE.to_owned() + "[classifier]\nlearning_rate = 0.1\n",
        BASE.to_owned() + "[classifier]\nlr = 0.1\n",
        BASE.to_owned() + "[classifier]\nlambdas = 0.1\n",
        BASE.replace("name = \"test\"", "name = \"test\"\nmax_failures = 3"),
        BASE.replace("name = \"test\"", "name = \"test\"\nclaims = 3"),
        BASE.to_owned() + "[[include]]\n",
        BASE.to_owned() + "zip = 3\n",
        "grid = 3\u{0}".to_owned(),
        String::new(),
    ];
    let messages: Vec<_> = wrong.iter().map(|text| parse(text).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(messages.join("\n\n"));
}

#[test]
fn all_mistakes_are_reported_in_order() {
    let text = BASE
        .replace("count = 2", "count = 0")
        .replace("0.1]", "-0.1, nan]")
        .replace("\"net\"", "\"nets\"")
        + "lr = 3\n[classifier]\nevaluate_every = 0\nlambda = 1\n[[include]]\nlambda = \"1\"\n[[claim]]\nis = \"best\"\n";
    insta::assert_snapshot!(parse(&text).unwrap_err());
    let many: String = (0..30).map(|number| format!("k{number} = 0\n")).collect();
    let error = parse(&(BASE.to_owned() + &many)).unwrap_err();
    assert!(error.more && error.mistakes.len() == 10, "{error}");
    assert!(error.to_string().ends_with("and there are more mistakes after these"), "{error}");
}

#[test]
fn excludes_take_from_includes_too() {
    let base = BASE.replace("lambda = [0, 0.1]", "lambda = 0") + "[[include]]\nlambda = 1\n";
    assert_eq!(parse(&base).unwrap().trials().count(), 16);
    let without = parse(&(base + "[[exclude]]\narchitecture = \"lenet\"\n")).unwrap();
    assert_eq!(without.trials().count(), 8);
    assert!(without.trials().all(|trial| trial.architecture == Architecture::NET));
}

#[test]
fn one_evaluation_may_be_the_last_iteration() {
    let of =
        |section: &str| parse(&format!("{BASE}[classifier]\niterations = 300\n{section}")).unwrap();
    let every = |grid: Grid| grid.trials().next().unwrap().classifier.evaluate_every;
    assert_eq!(every(of("evaluate_every = 300\n")), 300);
    assert_eq!(every(of("")), 1000, "what a file does not name keeps the identity of its trials");
}

/// The meaning of an expansion, written as plainly as possible: nested loops over lists.
fn oracle(
    seeds: u64,
    sizes: &[u32],
    lambdas: &[f64],
    samples: &[u64],
    excluded: Option<(u64, f64)>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for seed in 0..seeds {
        for size in sizes {
            for architecture in ["lenet", "net"] {
                for sample in samples {
                    for lambda in lambdas {
                        if excluded == Some((seed, *lambda)) {
                            continue;
                        }
                        let sample = if *lambda == 0.0 { 0 } else { *sample };
                        let line = format!(
                            "seed {seed} n {size} {architecture} wd 0 lr 0.01 M {sample} lambda {lambda}"
                        );
                        if !lines.contains(&line) {
                            lines.push(line);
                        }
                    }
                }
            }
        }
    }
    lines
}

fn distinct<T: std::fmt::Debug + Clone + PartialEq>(
    value: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Vec<T>> + Clone {
    prop::collection::vec(value, 1..4).prop_map(|mut values| {
        let mut kept: Vec<T> = Vec::new();
        values.retain(|value| {
            let new = !kept.contains(value);
            kept.push(value.clone());
            new
        });
        values
    })
}

proptest! {
    #[test]
    fn the_expansion_equals_nested_loops(
        seeds in 1u64..4,
        sizes in distinct(20u32..=60_000),
        lambdas in distinct(prop_oneof![Just(0.0), 1e-6..1e3f64]),
        samples in distinct(1u64..=1000),
        exclude in prop::option::of((0u64..4, 0usize..3)),
    ) {
        let excluded = exclude.and_then(|(seed, at)| lambdas.get(at).map(|lambda| (seed, *lambda)));
        let exclude = excluded.map_or(String::new(), |(seed, lambda)| format!("[[exclude]]\nseed = {seed}\nlambda = {lambda:?}\n"));
        let text = format!(
            "version = 1\nname = \"p\"\n[data]\ndataset = \"kmnist\"\n[grid]\nseed = {{ count = {seeds} }}\n\
             subset_size = {sizes:?}\nlambda = {lambdas:?}\narchitecture = [\"lenet\", \"net\"]\n\
             penalty_samples = {samples:?}\n{exclude}"
        );
        let expected = oracle(seeds, &sizes, &lambdas, &samples, excluded);
        match parse(&text) {
            Ok(grid) => prop_assert_eq!(grid.trials().map(|trial| line(&trial)).collect::<Vec<_>>(), expected),
            Err(error) => {
                let unmatched = excluded.is_some_and(|(seed, _)| seed >= seeds);
                let what = if unmatched { "matches no point" } else { "no points" };
                prop_assert!((unmatched || expected.is_empty()) && error.to_string().contains(what), "{}", error);
            }
        }
    }

    #[test]
    fn any_text_is_answered(text in "(version = 1\n)?(\\[|\\]|[a-z]|=|\\{|\\}|[0-9.-]|\n|\"| ){0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_trial_survives_the_wire(
        index in 0usize..8,
        seed in 0u64..i64::MAX as u64,
        decay in 0.0..1e9f64,
        data in prop::sample::select(vec!["\"mnist\"", "\"synthetic\"\nseed = 9", OWN]),
        precision in prop::sample::select(Precision::ALL),
        every in prop::option::of(1u32..),
    ) {
        let mut trial = parse(&BASE.replace("\"mnist\"", data)).unwrap().trials().nth(index).unwrap();
        trial.seed = seed;
        trial = trial.with(crate::axes::WEIGHT_DECAY, crate::axes::Value::Real(decay));
        trial.classifier.precision = precision;
        trial.classifier.epochs = every.map_or(Epochs::Continuous, |every| Epochs::Restart { every });
        trial.validation = (seed % 2) as u32 * (trial.dataset.sizes().train_images - trial.subset_size);
        let back = TrialSpec::parse(&trial.to_json()).unwrap();
        prop_assert_eq!(back, trial);
        prop_assert_eq!(back.id(), trial.id());
    }
}

#[test]
fn own_images_are_checked_on_the_wire() {
    let json = parse(&BASE.replace("\"mnist\"", OWN)).unwrap().trials().next().unwrap().to_json();
    let refused = |old: &str, new: &str| {
        assert!(json.contains(old), "{json}");
        TrialSpec::parse(&json.replace(old, new)).unwrap_err().to_string()
    };
    let cases = [
        (
            refused("\"height\":32,", ""),
            "setting `dataset.height`: it is not a whole number from 16 to 64",
        ),
        (
            refused("\"height\":32", "\"height\":15"),
            "setting `dataset.height`: it is not a whole number from 16 to 64",
        ),
        (
            refused("\"classes\"", "\"channels\":2,\"classes\""),
            "setting `dataset.channels`: it is neither 1 nor 3",
        ),
        (
            refused("\"classes\":26", "\"classes\":1"),
            "setting `dataset.classes`: it is not a whole number from 2 to 256",
        ),
        (
            refused("\"test_images\":60", "\"test_images\":0"),
            "setting `dataset.test_images`: it is not a whole number from 1",
        ),
        (refused("\"0011", "\"00110"), "setting `dataset.digest`: digest `00110"),
        (refused("\"idx\"", "\"idxx\""), "setting `dataset.name`: dataset `idxx` is unknown"),
    ];
    for (message, expected) in cases {
        assert!(message.starts_with(expected), "{message}");
    }
}
