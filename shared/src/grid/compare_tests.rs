//! Which cells are held against which, and every message that a wrong table gets.

use std::{collections::HashMap, path::Path};

use super::{Claim, Contrast, DEFAULT_MAX_TRIALS, Grid, GridError, Relation, Selection};
use crate::{ids::CellId, trial::TrialSpec};

const BASE: &str = r#"version = 1
name = "test"
[data]
dataset = "mnist"
[grid]
seed = { count = 2 }
subset_size = [100, 300]
architecture = ["net", "net+dropout"]
lambda = [0, 0.1]
weight_decay = [0, 5e-4]
"#;

fn parse(text: &str) -> Result<Grid, GridError> {
    Grid::parse("grid.toml", text, DEFAULT_MAX_TRIALS)
}

/// A line for each contrast.
fn lines(grid: &Grid, contrasts: &[Contrast]) -> String {
    let label = |t: &TrialSpec| {
        let density = if t.penalty.is_some() {
            format!(" {} {}", t.density(), t.penalty_samples())
        } else {
            String::new()
        };
        format!(
            "{} {} wd {} lambda {}{density}",
            t.subset_size,
            t.architecture,
            t.weight_decay(),
            t.lambda()
        )
    };
    let labels: HashMap<CellId, String> =
        grid.trials().map(|trial| (trial.cell(), label(&trial))).collect();
    let line = |contrast: &Contrast| {
        let name = contrast.name.as_ref().map_or(String::new(), |name| format!("{name}: "));
        format!("{name}{} | {}\n", labels[&contrast.cell], labels[&contrast.reference])
    };
    contrasts.iter().map(line).collect()
}

#[test]
fn without_a_word_regularisers_are_compared_with_none() {
    let grid = parse(BASE).unwrap();
    assert!(
        !grid.names_contrasts() && grid.claims.is_empty() && grid.selection == Selection::Final
    );
    insta::assert_snapshot!(lines(&grid, &grid.contrasts()));
    // Without lambda = 0 there is less to compare with.
    let grid = parse(&BASE.replace("lambda = [0, 0.1]", "lambda = 0.1")).unwrap();
    assert_eq!(grid.contrasts(), []);
}

#[test]
fn tables_name_cells_and_changes() {
    let densities = "density = [\"vae\", \"data\"]\npenalty_samples = [20, 40]\n";
    let text = BASE.replace("architecture = [\"net\", \"net+dropout\"]", "architecture = \"net\"")
        + densities;
    let grid = parse(&format!(
        r#"{text}
[[compare]]
name = "density"
density = "data"
subset_size = 300
against = {{ density = "vae" }}
[[compare]]
subset_size = 300
lambda = 0.1
density = "vae"
against = {{ lambda = 0, weight_decay = 5e-4 }}
# Seen from the other side, each density and number of samples is a cell of its own.
[[compare]]
name = "none"
subset_size = 100
weight_decay = 0
lambda = 0
against = {{ lambda = 0.1 }}
# Half of it has been said, and stays under its first name.
[[compare]]
name = "again"
density = "data"
subset_size = [100, 300]
penalty_samples = 20
weight_decay = 0
against = {{ density = "vae" }}
"#
    ))
    .unwrap();
    assert!(grid.names_contrasts());
    insta::assert_snapshot!(lines(&grid, &grid.contrasts()));
}

#[test]
fn claims_say_what_is_expected() {
    let text = format!(
        r#"{BASE}
[select]
by = "best"
[[claim]]
text = "the function norm beats weight decay at n = 300"
subset_size = 300
lambda = 0.1
weight_decay = 0
against = {{ lambda = 0, weight_decay = 5e-4 }}
is = "better"
[[claim]]
text = "weight decay changes nothing"
lambda = 0
weight_decay = 5e-4
architecture = "net"
against = {{ weight_decay = 0 }}
is = "equal"
margin_points = 0.5
alpha = 0.01
"#
    );
    let grid = parse(&text).unwrap();
    assert_eq!(grid.selection, Selection::Best);
    let [better, equal] = &grid.claims[..] else { panic!("{:?}", grid.claims) };
    assert_eq!((better.relation, better.margin, better.alpha), (Relation::Better, 0.0, 0.05));
    assert_eq!((equal.relation, equal.margin, equal.alpha), (Relation::Equal, 0.005, 0.01));
    let shown = |claim: &Claim| format!("{}\n{}", claim.text, lines(&grid, &claim.contrasts));
    insta::assert_snapshot!([better, equal].map(shown).join("\n"));
    // Cells that have the values of the reference themselves need none.
    let densities =
        BASE.replace("[\"net\", \"net+dropout\"]", "\"net\"") + "density = [\"vae\", \"data\"]\n";
    let table = "[[claim]]\ntext = \"both\"\nis = \"better\"\nsubset_size = 100\nweight_decay = 0\nagainst = { density = \"vae\" }\n";
    let both = parse(&format!("{densities}{table}")).unwrap();
    assert_eq!(lines(&both, &both.claims[0].contrasts).lines().count(), 1);
    // None of this changes a trial, and claims are no comparisons.
    let plain = parse(BASE).unwrap();
    assert!(grid.trials().eq(plain.trials()) && grid.contrasts() == plain.contrasts());
}

#[test]
fn wrong_tables_get_a_place_and_a_hint() {
    let compare = |table: &str| format!("{BASE}[[compare]]\n{table}\n");
    let claim = |table: &str| {
        format!(
            "{BASE}[[claim]]\ntext = \"more is better\"\nlambda = 0.1\nagainst = {{ lambda = 0 }}\n{table}\n"
        )
    };
    let wrong = [
        compare("lambda = 0.1"),
        compare("against = 3"),
        compare("against = {}"),
        compare("against = { lamda = 0 }"),
        compare("against = { lambda = [0, 1] }"),
        compare("against = { lambda = -1 }"),
        compare("against = { seed = 1 }"),
        compare("against = { subset_size = 100 }"),
        compare("against = { lambda = 0 }\nseed = 1"),
        compare("against = { lambda = 0 }\nlambda = []"),
        compare("against = { lambda = 0 }\nlambda = 0.2"),
        compare("name = \"large\"\nagainst = { lambda = 0 }\nlambda = 0\ndensity = \"vae\""),
        compare(
            "name = \"dropout\"\nagainst = { architecture = \"lenet\" }\narchitecture = \"net+dropout\"",
        ),
        compare("against = { lambda = 0 }\nlambda = 0"),
        compare(
            "against = { lambda = 0 }\n[[compare]]\nname = \"again\"\nlambda = 0.1\nagainst = { lambda = 0 }",
        ),
        compare("against = { lambda = 0 }\nwhere = 1"),
        compare("against = { lambda = 0 }\nname = \"\""),
        compare("against = { lambda = 0 }\nname = \"two\\nlines\""),
        claim(""),
        claim("is = \"best\""),
        claim("is = \"equal\""),
        claim("is = \"not-worse\"\nmargin_points = 0"),
        claim("is = \"better\"\nmargin_points = nan"),
        claim("is = \"better\"\nalpha = 0.5"),
        claim("is = \"better\"\nalpha = \"small\""),
        claim("is = \"better\"\nsubset_size = 200"),
        format!("{BASE}[[claim]]\nis = \"better\"\nagainst = {{ lambda = 0 }}\n"),
        // The reference of one of its cells is not in the grid.
        claim("is = \"better\"") + "[[include]]\nseed = [0]\nsubset_size = 1000\nlambda = 0.1\n",
        format!("{BASE}[select]\nby = \"luck\"\n"),
        format!("{BASE}[select]\nby = \"validation\"\n"),
        BASE.replace("\"mnist\"", "\"mnist\"\nvalidation = 59701"),
        BASE.replace("\"mnist\"", "\"mnist\"\nvalidation = -1"),
        format!("{BASE}[select]\non = \"final\"\n"),
        format!("{BASE}[compare]\nlambda = 0\n"),
    ];
    let messages: Vec<_> = wrong.iter().map(|text| parse(text).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(messages.join("\n\n"));
}

#[test]
fn trials_without_validation_images_are_what_they_were() {
    let of =
        |images: &str| parse(&BASE.replace("\"mnist\"", &format!("\"mnist\"\n{images}"))).unwrap();
    let [none, zero, some, other] =
        ["", "validation = 0", "validation = 59700", "validation = 100"].map(of);
    assert!(
        zero.trials().eq(none.trials())
            && none.trials().all(|trial| !trial.to_json().contains("validation"))
    );
    for ((none, some), other) in none.trials().zip(some.trials()).zip(other.trials()) {
        assert_eq!(some, TrialSpec { validation: 59_700, ..none });
        let ids = [none, some, other].map(|trial| (trial.id(), trial.cell(), trial.shape()));
        assert!(
            ids[0] != ids[1] && ids[1].0 != ids[2].0 && ids[1].2 != ids[2].2,
            "what lanes do together is the same"
        );
        assert_eq!(
            (none.subset(), none.vae()),
            (some.subset(), some.vae()),
            "nor do subset and VAE know of it"
        );
    }
    let selected = parse(
        &(BASE.replace("\"mnist\"", "\"mnist\"\nvalidation = 9")
            + "[select]\nby = \"validation\"\n"),
    );
    assert_eq!(selected.unwrap().selection, Selection::Validation);
}

#[test]
fn the_number_of_comparisons_is_limited() {
    let many = BASE.replace("lambda = [0, 0.1]", "lambda = { log10 = [-5, 0], count = 3000 }");
    let table = "[[compare]]\nagainst = { weight_decay = 0 }\nweight_decay = 5e-4\n";
    let error = parse(&format!("{many}{table}")).unwrap_err();
    assert_eq!(error.mistakes[0].problem, "more than 10000 pairs of cells up to this table");
    parse(&format!("{many}{table}subset_size = 100\n")).unwrap();
    let more = many.replace("count = 3000", "count = 30000");
    let error = parse(&format!("{more}{table}")).unwrap_err();
    assert!(
        error.mistakes[0].problem.starts_with("the grid has too many cells to compare them"),
        "{error}"
    );
    assert_eq!(parse(&more).unwrap().contrasts(), [], "nobody asked");
}

#[test]
fn the_grid_of_the_paper_has_the_claims() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../coordinator/grids/paper.toml");
    let grid = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let claims =
        grid.claims.iter().map(|claim| format!("{} ({})\n", claim.text, claim.relation.name()));
    insta::assert_snapshot!(
        claims
            .zip(&grid.claims)
            .map(|(text, claim)| text + &lines(&grid, &claim.contrasts))
            .collect::<String>()
    );
}
