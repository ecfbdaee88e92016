//! Charts are drawn in the cases at the edges, hold what they show as text, and can be seen.

use roxmltree::Document;

use super::{Content, Figure, Study, Theme, cells_of_curves, figures, png};
use crate::{
    numbers::{
        source::{Sources, open},
        summary::Summary,
    },
    sample,
};

/// The figures of a made-up run of a grid with these axes. `done`: whether its trials have ended.
fn figures_of(axes: &str, done: bool) -> Vec<Figure> {
    let dir = tempfile::tempdir().unwrap();
    sample::run(dir.path(), &sample::grid(axes), |_, _| done.then_some(Ok(())));
    let sources = Sources::new(open(&[dir.path().to_owned()]).unwrap()).unwrap();
    let summary = Summary::united(&[&sources.runs[0].grid], &sources.trials);
    let study = Study::new(&summary);
    let cells = cells_of_curves(&study);
    let curves = |metric| {
        let cells = summary.cells().iter().filter(|cell| cells.contains(&cell.id));
        sources.curves(metric, cells).unwrap()
    };
    figures(&study, &curves("test/accuracy"), &curves("train/function_norm"))
}

/// Comparisons over none for axes with the function norm, in two groups with hostile names.
const GROUPS: &str = "\n[[compare]]\nname = 'group 0 of <none> & \"none\"'\nagainst = { lambda = 0 }\n\
                      [[compare]]\nname = 'group 1'\nsubset_size = 300\nlambda = 0.1\n\
                      against = { lambda = 0.01 }\n";

/// A sweep with one chart of each kind that needs few results.
const SMALL: &str =
    "subset_size = 100\nseed = { count = 2 }\narchitecture = \"net\"\nlambda = [0, 0.1]";

/// The texts of a drawing.
fn texts(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.map(|node| node.text().unwrap_or_default().trim().to_owned()).collect()
}

/// The drawings by name, each parsed; texts stand within the picture.
fn drawings(figures: Vec<Figure>) -> Vec<(&'static str, String)> {
    let mut drawings = Vec::new();
    let folder = sample::folder("charts");
    for figure in figures {
        for theme in [Theme::Light, Theme::Dark] {
            let Some(svg) = figure.svg(theme) else { continue };
            let document = Document::parse(&svg).unwrap();
            let size: Vec<f64> = document
                .root_element()
                .attribute("viewBox")
                .unwrap()
                .split(' ')
                .map(|n| n.parse().unwrap())
                .collect();
            for node in document.descendants().filter(|node| node.has_tag_name("text")) {
                let at = |name| node.attribute(name).unwrap().parse::<f64>().unwrap();
                let inside =
                    (0.0..=size[2]).contains(&at("x")) && (0.0..=size[3]).contains(&at("y"));
                assert!(inside, "{}: {:?} stands outside", figure.name, node.text());
            }
            let marks = document.descendants().filter(|node| {
                ["polygon", "circle", "polyline", "rect"].iter().any(|tag| node.has_tag_name(*tag))
            });
            assert!(marks.count() > 3, "{}", figure.name);
            if std::env::var_os("SWFN_PICTURES").is_some() {
                let name = format!("{}{}.png", figure.name, theme.suffix());
                std::fs::write(folder.path().join(name), png(&svg).unwrap()).unwrap();
            }
            if theme == Theme::Light {
                drawings.push((figure.name, svg));
            }
        }
    }
    drawings
}

fn missing(axes: &str) -> Vec<(&'static str, String)> {
    let figures = figures_of(axes, true);
    let missing = figures.iter().filter_map(|figure| Some((figure.name, figure.missing()?.into())));
    missing.collect()
}

#[test]
fn a_usual_sweep_has_all_charts() {
    let axes = "subset_size = [100, 300]\nseed = { count = 5 }\narchitecture = [\"net\", \"lenet\"]\n\
                lambda = [0, 0.01, 0.1, 1]";
    let axes = &format!("{axes}{GROUPS}");
    assert_eq!(missing(axes), []);
    let drawings = drawings(figures_of(axes, true));
    assert_eq!(drawings.len(), 7);
    let has = |name: &str, wanted: &[&str]| {
        let (_, svg) = drawings.iter().find(|(other, _)| *other == name).unwrap();
        let texts = texts(svg);
        wanted.iter().for_each(|text| {
            assert!(texts.iter().any(|other| other == text), "{name}: {text} of {texts:?}")
        });
    };
    has(
        "lambda",
        &[
            "net, n = 100",
            "lenet, n = 300",
            "0",
            "0.01",
            "0.1",
            "1",
            "none",
            "fn",
            "points over none",
        ],
    );
    has("iterations", &["none", "fn 0.1", "iteration", "10k"]);
    has(
        "subset-size",
        &["net", "100", "300", "training images", "test accuracy, %", "points over none"],
    );
    has("heat-map", &["net", "lenet", "100", "300", "weight λ"]);
    has("seeds", &["net, n = 100", "fn 0.1"]);
    has(
        "differences",
        &["group 0 of <none> & \"none\"", "n = 100, lenet", "fn 0.01", "regulariser", "over"],
    );
    has("function-norm", &["fn 1", "function norm R(f)"]);
}

const REGULARISERS: &str = "subset_size = [100, 300]\nseed = { count = 3 }\narchitecture = \"net\"\nlambda = [0, 0.01, 0.1]\n\
                            [[include]]\nlambda = 0\nweight_decay = 5e-4\n[[include]]\nlambda = 0\narchitecture = \"net+dropout\"";

/// The colour of the mark before a text.
fn colour_of(svg: &str, name: &str) -> Option<String> {
    let document = Document::parse(svg).unwrap();
    let mut last = None;
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        match node.attribute("fill") {
            Some(fill) if node.has_tag_name("polygon") || node.has_tag_name("circle") => {
                last = Some(fill.to_owned())
            }
            _ if node.has_tag_name("text") && node.text().unwrap_or_default().trim() == name => {
                return last;
            }
            _ => {}
        }
    }
    None
}

#[test]
fn regularisers_share_panels_and_keep_their_colours() {
    let drawings = drawings(figures_of(REGULARISERS, true));
    let svg = |name: &str| &drawings.iter().find(|(other, _)| *other == name).unwrap().1;
    for chart in ["subset-size", "lambda", "iterations"] {
        let texts = texts(svg(chart));
        assert!(!texts.iter().any(|text| text.contains("net+dropout")), "{chart}: {texts:?}");
        assert!(texts.iter().any(|text| text == "dropout"), "{chart}: {texts:?}");
    }
    for name in ["none", "wd 5e-4", "dropout"] {
        let colours =
            ["subset-size", "lambda", "iterations"].map(|chart| colour_of(svg(chart), name));
        assert!(
            colours[0].is_some() && colours.iter().all(|colour| *colour == colours[0]),
            "{name}: {colours:?}"
        );
    }
    let [none, decay] = ["none", "wd 5e-4"].map(|name| colour_of(svg("iterations"), name));
    assert_ne!(none, decay);
}

/// Names of groups may be long, so no line of the plot may run through them.
#[test]
fn no_line_of_the_forest_crosses_a_name() {
    let drawings = drawings(figures_of(&format!("{REGULARISERS}{GROUPS}"), true));
    let document = Document::parse(&drawings[0].1).unwrap();
    let mut lines = Vec::new();
    for node in document.descendants().filter(|node| node.has_tag_name("polyline")) {
        let points: Vec<f64> = node
            .attribute("points")
            .unwrap()
            .split([' ', ','])
            .filter_map(|number| number.parse().ok())
            .collect();
        if let [left, top, right, bottom] = points[..]
            && left == right
        {
            lines.push(top.min(bottom)..top.max(bottom));
        }
    }
    let names = document.descendants().filter(|node| node.has_tag_name("text"));
    let names: Vec<_> =
        names.filter(|node| node.text().is_some_and(|text| text.contains("group"))).collect();
    assert!(names.len() > 1 && lines.len() > 10);
    for name in names {
        let level: f64 = name.attribute("y").unwrap().parse().unwrap();
        assert!(lines.iter().all(|line| !line.contains(&level)), "{name:?} at {level}");
    }
}

#[test]
fn one_seed_and_one_lambda_omit_charts() {
    let axes = "subset_size = 100\nseed = [0]\narchitecture = \"net\"\nlambda = [0, 0.1]";
    let missing: Vec<_> = missing(axes).into_iter().map(|(name, _)| name).collect();
    assert_eq!(missing, ["lambda", "subset-size", "heat-map", "seeds"]);
    assert_eq!(drawings(figures_of(axes, true)).len(), 3);
}

#[test]
fn a_sweep_without_results_has_no_charts() {
    let axes = "subset_size = 100\nseed = [0]\narchitecture = \"net\"\nlambda = [0, 0.1]";
    let all = figures_of(axes, false);
    assert!(all.iter().all(|figure| matches!(figure.content, Content::Missing(_))));
}

#[test]
fn a_large_sweep_shows_a_choice() {
    let axes = "subset_size = [20, 50, 100, 300, 1000, 3000]\nseed = { count = 2 }\n\
                architecture = [\"net\", \"net+dropout\", \"lenet\", \"lenet+bn\"]\n\
                lambda = { log10 = [-4, 2], count = 13 }\nweight_decay = [0, 5e-4]\n\
                [[compare]]\nweight_decay = 5e-4\nagainst = { weight_decay = 0 }\n";
    let figures = figures_of(axes, true);
    for figure in &figures {
        assert!(figure.caption.contains("Shown are"), "{}: {}", figure.name, figure.caption);
    }
    // The size of drawings is bounded for any sweep.
    for (name, svg) in drawings(figures) {
        assert!(svg.len() < 500_000, "{name}: {} bytes", svg.len());
    }
}

#[test]
fn pictures_need_no_font_of_the_machine() {
    let (_, svg) = drawings(figures_of(SMALL, true)).remove(0);
    let without: Vec<&str> = svg.lines().filter(|line| !line.starts_with("<text")).collect();
    let [with_text, without] = [dark_pixels(&svg), dark_pixels(&without.join("\n"))];
    assert!(with_text > without + 2000, "{with_text} and {without} dark pixels");
}

fn dark_pixels(svg: &str) -> usize {
    let reader = ::png::Decoder::new(std::io::Cursor::new(png(svg).unwrap()));
    let mut reader = reader.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert!(f64::from(info.width) > 1000.0);
    pixels.chunks_exact(info.color_type.samples()).filter(|pixel| pixel[0] < 128).count()
}

#[test]
fn colours_in_the_page_follow_the_page() {
    let svg = figures_of(SMALL, true)[0].svg(Theme::Page).unwrap();
    for variable in ["\"var(--ink)\"", "\"var(--ground)\"", "\"var(--r4-2)\""] {
        assert!(svg.contains(variable), "{variable}");
    }
    assert!(!svg.contains("\"#"));
}
