//! The report of made-up runs: its words, its independence, its safety from foreign text, and
//! refusals.

use std::{fs, path::Path};

use roxmltree::Document as Xml;

use crate::{
    command::{Extent, write, write_without_charts},
    numbers::source::{Sources, open},
    sample,
};

const AXES: &str = "subset_size = [100, 300]\nseed = { count = 4 }\narchitecture = [\"net\", \"lenet\"]\nlambda = [0, 0.01, 0.1]";

const HOSTILE: &str = "<script>alert(1)</script> & \"quotes\" ]]> \\input{x} | `tick` \u{1b}[31m";

const CLAIM: &str = "\n[[claim]]\ntext = '<img src=x onerror=alert(2)> & fn > none_'\nis = \"better\"\nlambda = 0.1\nagainst = { lambda = 0 }\n";

/// A run with one trial given up with hostile words, and one that has not ended.
fn hostile(folder: &Path) {
    sample::run(folder, &(sample::grid(AXES) + CLAIM), |index, _| match index {
        46 => Some(Err(HOSTILE.to_owned())),
        47 => None,
        _ => Some(Ok(())),
    });
}

/// Writes the report of run directories and returns its texts.
fn report(runs: &[&Path], out: &Path) -> [String; 3] {
    let runs: Vec<_> = runs.iter().map(|run| run.to_path_buf()).collect();
    write_without_charts(&Sources::new(open(&runs).unwrap()).unwrap(), out).unwrap();
    ["report.html", "report.md", "summary.tex"]
        .map(|name| fs::read_to_string(out.join(name)).unwrap())
}

/// Without what differs from call to call.
fn still(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "RUN");
    let mut still = String::new();
    let mut rest = text.as_str();
    while let Some(place) = rest.find(" UTC") {
        let date = rest[..place].len() - "2026-11-26 16:40".len();
        still += &rest[..date];
        still += "NOW";
        still += " UTC";
        rest = &rest[place + " UTC".len()..];
    }
    still + rest
}

#[test]
fn the_report_in_words() {
    let dir = tempfile::tempdir().unwrap();
    hostile(dir.path());
    let [html, markdown, latex] = report(&[dir.path()], dir.path());
    insta::assert_snapshot!("report_markdown", still(&markdown, dir.path()));
    insta::assert_snapshot!("summary_latex", still(&latex, dir.path()));
    let page = Xml::parse_with_options(
        &html,
        roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() },
    )
    .unwrap();
    let drawn = |node: &roxmltree::Node<'_, '_>| {
        node.ancestors().any(|node| ["svg", "style"].iter().any(|tag| node.has_tag_name(*tag)))
    };
    let words: Vec<&str> = page
        .descendants()
        .filter(|node| node.is_text() && !drawn(node))
        .filter_map(|node| node.text().map(str::trim).filter(|text| !text.is_empty()))
        .collect();
    insta::assert_snapshot!("report_words", still(&words.join("\n"), dir.path()));
}

/// The page is well-formed, holds no script, no event handler and no inline style, and names
/// nothing outside of itself; what others wrote is text.
#[test]
fn the_page_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    hostile(dir.path());
    let [html, _, _] = report(&[dir.path()], dir.path());
    let page = Xml::parse_with_options(
        &html,
        roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() },
    )
    .unwrap();
    let svg = "http://www.w3.org/2000/svg";
    let mut policy = None;
    for node in page.descendants().filter(roxmltree::Node::is_element) {
        let tag = node.tag_name().name();
        assert!(
            ![
                "script",
                "link",
                "iframe",
                "object",
                "embed",
                "base",
                "form",
                "foreignObject",
                "use"
            ]
            .contains(&tag),
            "<{tag}>"
        );
        assert!(
            tag != "img" || node.attribute("src").unwrap().starts_with("data:image/png;base64,")
        );
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on") && name != "style", "{name} of <{tag}>");
            assert!(
                !["src", "href", "srcset", "action"].contains(&name)
                    || value.starts_with('#')
                    || tag == "img",
                "{name}={value}"
            );
            assert!(!value.contains("url(") && !value.contains("javascript:"), "{value}");
        }
        assert!(node.tag_name().namespace().is_none_or(|space| space == svg));
        if node.attribute("http-equiv") == Some("Content-Security-Policy") {
            policy = node.attribute("content");
        }
    }
    let policy = policy.unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    let style = page.descendants().find(|node| node.has_tag_name("style")).unwrap().text().unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    let text: String =
        page.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect();
    assert!(
        text.contains("<script>alert(1)</script> & \"quotes\" ]]>"),
        "the error is told as it is"
    );
    assert!(text.contains("<img src=x onerror=alert(2)> & fn > none_"), "the claim too");
    assert!(text.contains("ERROR it ends <here> & now"), "and the log");
    let charts = page
        .descendants()
        .filter(|node| node.attribute("id").is_some_and(|id| id.starts_with("chart-")));
    assert_eq!(charts.count(), 7);
}

#[test]
fn charts_have_files_in_both_themes() {
    let dir = tempfile::tempdir().unwrap();
    sample::run(
        dir.path(),
        &sample::grid(
            "subset_size = 100\nseed = { count = 3 }\narchitecture = \"net\"\nlambda = [0, 0.1]",
        ),
        |_, _| Some(Ok(())),
    );
    fs::create_dir(dir.path().join("charts")).unwrap();
    // A chart of an earlier report; this run has nothing to draw there.
    fs::write(dir.path().join("charts/heat-map.svg"), "old").unwrap();
    write(
        &Sources::new(open(&[dir.path().to_owned()]).unwrap()).unwrap(),
        dir.path(),
        Extent::Full,
    )
    .unwrap();
    let mut names: Vec<String> = fs::read_dir(dir.path().join("charts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let each = ["differences", "function-norm", "iterations", "seeds"];
    let wanted: Vec<String> = each
        .iter()
        .flat_map(|name| {
            ["-dark.png", "-dark.svg", ".png", ".svg"].map(|end| format!("{name}{end}"))
        })
        .collect();
    assert_eq!(names, wanted);
}

/// Half of the seeds in one folder, the others and another number of iterations in a second one.
#[test]
fn several_runs_are_united() {
    let dir = tempfile::tempdir().unwrap();
    let [one, other, out] = ["one", "other", "out"].map(|name| dir.path().join(name));
    let axes = |seeds: &str, lambda: &str| {
        format!("subset_size = 100\nseed = {seeds}\narchitecture = \"net\"\nlambda = {lambda}")
    };
    sample::run(&one, &sample::grid(&axes("[0, 1, 2]", "[0, 0.1]")), |_, _| Some(Ok(())));
    let longer = axes("[2, 3]", "[0, 0.1]") + "\n[[include]]\nseed = [9]\nlambda = 0.1\n";
    sample::run(&other, &sample::grid(&longer), |_, _| Some(Ok(())));
    fs::create_dir(&out).unwrap();
    let [_, markdown, _] = report(&[&one, &other], &out);
    assert!(markdown.contains("9 of 9 trials done."), "{markdown}");
    assert!(
        markdown.contains(
            "2 trials have results in several run directories: the results are the same."
        ),
        "{markdown}"
    );
    assert!(!markdown.contains("The runs differ"), "{markdown}");
    // Seed 2 is counted once, and pairs span folders.
    assert!(markdown.contains("| net | none | 100 | 4 |"), "{markdown}");

    let third = dir.path().join("third");
    let settings = "\n[classifier]\niterations = 500\nevaluate_every = 100\n";
    sample::run(&third, &(sample::grid(&axes("[0, 1]", "[0, 0.1]")) + settings), |_, _| {
        Some(Ok(()))
    });
    let [_, markdown, _] = report(&[&one, &third], &out);
    let conflict = format!(
        "The runs differ in \\[classifier\\] iterations: 10000 in {}, 500 in {}.",
        one.display(),
        third.display()
    );
    assert!(markdown.contains(&conflict), "{markdown}");
    let curves = fs::read_to_string(out.join("curves.csv")).unwrap();
    assert!(curves.lines().count() > 10 * 20, "points of both runs");
}

#[test]
fn other_folders_are_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let error = |path: &Path| {
        open(&[path.to_owned()]).err().map(|error| format!("{error:#}")).unwrap_or_default()
    };
    let missing = error(&dir.path().join("nowhere"));
    assert!(
        missing.contains("there is no such folder") && missing.contains("\nhint: "),
        "{missing}"
    );
    assert!(error(dir.path()).contains("it has no sweep.sqlite"));

    let run = dir.path().join("run");
    sample::run(&run, &sample::grid(AXES), |_, _| Some(Ok(())));
    assert_eq!(error(&run), "");
    fs::rename(run.join("grid.toml"), run.join("other.toml")).unwrap();
    assert!(error(&run).contains("lacks its grid"));
    fs::rename(run.join("other.toml"), run.join("grid.toml")).unwrap();

    let twice = open(&[run.clone(), run.join(".")]).err().unwrap().to_string();
    assert!(twice.contains("is named twice"), "{twice}");

    let database = run.join("sweep.sqlite");
    let version = |number: i64| {
        rusqlite::Connection::open(&database)
            .unwrap()
            .pragma_update(None, "user_version", number)
            .unwrap();
    };
    let current: i64 = rusqlite::Connection::open(&database)
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    version(99);
    assert!(error(&run).contains("has schema version `99`"));
    version(1);
    assert!(
        error(&run).contains("of an earlier program")
            && error(&run).contains("brings it up to date")
    );
    version(current);
    rusqlite::Connection::open(&database)
        .unwrap()
        .execute(
            "UPDATE outcome SET value = 0.123 WHERE trial = 3 AND metric = 'final_test_accuracy'",
            [],
        )
        .unwrap();
    assert!(error(&run).contains("is damaged"), "{}", error(&run));
    fs::write(&database, "no database at all, but long enough to look like one").unwrap();
    assert!(error(&run).contains("is damaged"), "{}", error(&run));
}

/// A sweep that goes on holds the file open for writing, in the middle of a transaction.
#[test]
fn a_running_sweep_is_read_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    sample::run(dir.path(), &sample::grid(AXES), |index, _| (index < 20).then_some(Ok(())));
    let writer = rusqlite::Connection::open(dir.path().join("sweep.sqlite")).unwrap();
    writer
        .execute_batch(
            "BEGIN IMMEDIATE; UPDATE trial SET state = 'leased' WHERE state = 'pending';",
        )
        .unwrap();
    let out = tempfile::tempdir().unwrap();
    let [_, markdown, _] = report(&[dir.path()], out.path());
    assert!(markdown.contains("20 of 48 trials done, 28 to come."), "{markdown}");
    assert!(markdown.contains("The sweep is not finished"), "{markdown}");
    writer.execute_batch("COMMIT").unwrap();
}

/// A sheet of a VAE stands in the page; what only has its name does not.
#[test]
fn only_sheets_that_are_pictures_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    sample::run(dir.path(), &sample::grid(AXES), |_, _| Some(Ok(())));
    let sources = Sources::new(open(&[dir.path().to_owned()]).unwrap()).unwrap();
    let with_vae = sources
        .trials
        .iter()
        .filter(|(spec, _)| spec.vae().is_some())
        .map(|(spec, row)| (spec.subset_size, row.id));
    for (size, id) in with_vae {
        let folder = dir.path().join("artifacts").join(id.to_string());
        fs::create_dir_all(&folder).unwrap();
        let content: &[u8] =
            if size == 100 { b"\x89PNG\r\n\x1a\nand so on" } else { b"<svg onload=alert(1)>" };
        fs::write(folder.join("vae.png"), content).unwrap();
    }
    let [html, _, _] = report(&[dir.path()], dir.path());
    assert_eq!(html.matches("src=\"data:image/png;base64,").count(), 1);
    assert!(html.contains("100 images, seed 0") && !html.contains("onload"));
}
