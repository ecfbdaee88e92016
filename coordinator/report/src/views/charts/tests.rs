//! Charts are drawn in the cases at the edges, hold what they show as text, and can be seen.

use roxmltree::Document;

use super::{
    Content, Difference, Figure, Material, Study, Theme, cells_of_curves, figures, follow_page, png,
};
use crate::{
    numbers::{
        source::{Curves, Sources, open},
        summary::Summary,
    },
    sample,
};

fn summary(sources: &Sources) -> Summary {
    Summary::united(&[&sources.runs[0].grid], &sources.trials)
}

/// All figures of a made-up run of a grid with these axes.
fn drawn(axes: &str) -> Vec<Figure> {
    let dir = tempfile::tempdir().unwrap();
    sample::run(dir.path(), &sample::grid(axes), |_, _| Some(Ok(())));
    let sources = Sources::new(open(&[dir.path().to_owned()]).unwrap()).unwrap();
    let summary = summary(&sources);
    let study = Study::new(&summary);
    let cells = cells_of_curves(&study);
    let curves = |metric| {
        sources
            .curves(metric, summary.cells().iter().filter(|cell| cells.contains(&cell.id)))
            .unwrap()
    };
    let (accuracy, function_norm) = (curves("test/accuracy"), curves("train/function_norm"));
    let difference = |index: usize| Difference {
        name: format!("group {} of <none> & \"none\"", index / 3),
        size: summary.cells()[index].subset_size,
        network: summary.cells()[index].network.to_string(),
        treatment: study.treatment(&summary.cells()[index]).name.clone(),
        control: "none".to_owned(),
        look: study.look(&summary.cells()[index]),
        mean: index as f64 - 1.0,
        half: (!index.is_multiple_of(4)).then_some(0.5 * index as f64),
        decided: index.is_multiple_of(2),
    };
    let differences: Vec<Difference> = (0..summary.cells().len() - 1).map(difference).collect();
    figures(&Material {
        study: &study,
        accuracy: &accuracy,
        function_norm: &function_norm,
        differences: &differences,
    })
}

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
        let Content::Drawing { draw, .. } = figure.content else { continue };
        for theme in [Theme::Light, Theme::Dark] {
            let svg = draw(theme).unwrap();
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
    let missing = drawn(axes).into_iter().filter_map(|figure| match figure.content {
        Content::Missing(why) if !why.is_empty() => Some((figure.name, why)),
        Content::Missing(_) | Content::Drawing { .. } => None,
    });
    missing.collect()
}

#[test]
fn a_usual_sweep_has_all_charts_with_their_labels() {
    let axes = "subset_size = [100, 300]\nseed = { count = 5 }\narchitecture = [\"net\", \"lenet\"]\nlambda = [0, 0.01, 0.1, 1]";
    assert_eq!(missing(axes), []);
    let drawings = drawings(drawn(axes));
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
        &[
            "group 0 of <none> & \"none\"",
            "lenet",
            "fn 0.01",
            "+1.00 ± 1.00",
            "regulariser",
            "over",
        ],
    );
    has("function-norm", &["fn 1", "function norm R(f)"]);
}

const REGULARISERS: &str = "subset_size = [100, 300]\nseed = { count = 3 }\narchitecture = \"net\"\nlambda = [0, 0.01, 0.1]\n\
                            [[include]]\nlambda = 0\nweight_decay = 5e-4\n[[include]]\nlambda = 0\narchitecture = \"net+dropout\"";

/// What stands beside a text: the colour of the mark before it.
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
fn regularisers_of_one_network_share_its_panels_and_keep_their_colours() {
    let drawings = drawings(drawn(REGULARISERS));
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

/// Names of groups are texts that may be long; no line of the plot runs through them.
#[test]
fn no_line_of_the_forest_crosses_a_name() {
    let drawings = drawings(drawn(REGULARISERS));
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
fn one_seed_and_one_lambda_leave_out_what_cannot_be_said() {
    let axes = "subset_size = 100\nseed = [0]\narchitecture = \"net\"\nlambda = [0, 0.1]";
    let missing: Vec<_> = missing(axes).into_iter().map(|(name, _)| name).collect();
    assert_eq!(missing, ["lambda", "subset-size", "heat-map", "seeds"]);
    assert_eq!(drawings(drawn(axes)).len(), 3);
}

#[test]
fn a_sweep_without_results_has_no_charts() {
    let dir = tempfile::tempdir().unwrap();
    sample::run(
        dir.path(),
        &sample::grid("subset_size = 100\nseed = [0]\narchitecture = \"net\"\nlambda = [0, 0.1]"),
        |_, _| None,
    );
    let sources = Sources::new(open(&[dir.path().to_owned()]).unwrap()).unwrap();
    let summary = summary(&sources);
    let study = Study::new(&summary);
    let none = Curves::new();
    let all = figures(&Material {
        study: &study,
        accuracy: &none,
        function_norm: &none,
        differences: &[],
    });
    assert!(all.iter().all(|figure| matches!(figure.content, Content::Missing(_))));
}

#[test]
fn a_large_sweep_shows_a_choice_and_says_so() {
    let axes = "subset_size = [20, 50, 100, 300, 1000, 3000]\nseed = { count = 2 }\narchitecture = [\"net\", \"net+dropout\", \"lenet\", \
                \"lenet+bn\"]\nlambda = { log10 = [-4, 2], count = 13 }\nweight_decay = [0, 5e-4]";
    let figures = drawn(axes);
    for figure in &figures {
        assert!(figure.caption.contains("Shown are"), "{}: {}", figure.name, figure.caption);
    }
    // What is drawn is bounded, whatever the sweep.
    for (name, svg) in drawings(figures) {
        assert!(svg.len() < 500_000, "{name}: {} bytes", svg.len());
    }
}

#[test]
fn pictures_have_letters_without_any_font_of_the_machine() {
    let (_, svg) = drawings(drawn(
        "subset_size = 100\nseed = { count = 2 }\narchitecture = \"net\"\nlambda = [0, 0.1]",
    ))
    .remove(0);
    let reader = ::png::Decoder::new(std::io::Cursor::new(png(&svg).unwrap()));
    let mut reader = reader.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let with_text = dark(&pixels, info.color_type.samples());
    assert!(f64::from(info.width) > 1000.0);
    let bare = svg.split('\n').collect::<Vec<_>>();
    let mut without = String::new();
    let mut within = false;
    for line in bare {
        within |= line.starts_with("<text");
        if !within {
            without += line;
            without.push('\n');
        }
        within &= !line.starts_with("</text");
    }
    let mut reader =
        ::png::Decoder::new(std::io::Cursor::new(png(&without).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let without_text = dark(&pixels, info.color_type.samples());
    assert!(with_text > without_text + 2000, "{with_text} and {without_text} dark pixels");
}

fn dark(pixels: &[u8], samples: usize) -> usize {
    pixels.chunks_exact(samples).filter(|pixel| pixel[0] < 128).count()
}

#[test]
fn in_the_page_colours_follow_the_page() {
    let (_, svg) = drawings(drawn(
        "subset_size = 100\nseed = { count = 2 }\narchitecture = \"net\"\nlambda = [0, 0.1]",
    ))
    .remove(0);
    let inline = follow_page(&svg);
    assert!(
        inline.contains("\"var(--ink)\"")
            && inline.contains("\"var(--ground)\"")
            && inline.contains("\"var(--r0-2)\"")
    );
    assert!(!inline.contains("#FFFFFF"));
}
