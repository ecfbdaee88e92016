//! The report in a browser, at the widths of a desk and of a phone, in light and dark.
//!
//! It must have its style, log nothing to the console and fit the window. On a desk, the first
//! screen has the whole answer. Without Chromium the test passes with a note.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    chromium,
    command::write_without_charts,
    numbers::source::{Sources, open},
    sample,
};

const WIDTHS: [u32; 2] = [1280, 390];

/// Height of the first screen of a desk.
const SCREEN: f64 = 900.0;

/// Under load a browser may take its time.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs the browser on a page; returns what it wrote to standard output and to standard error.
fn browse(browser: &Path, page: &Path, width: u32, options: &[&str]) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let output = |name: &str| fs::File::create(profile.path().join(name)).unwrap();
    let mut child = Command::new(browser)
        .args(chromium::QUIET)
        .args(["--hide-scrollbars", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
        .arg(format!("--window-size={width},2000"))
        .args(options)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(output("out"))
        .stderr(output("err"))
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().ok();
            child.wait().ok();
            panic!("the browser has not ended after {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    let read = |name: &str| {
        String::from_utf8_lossy(&fs::read(profile.path().join(name)).unwrap()).into_owned()
    };
    (read("out"), read("err"))
}

/// The colour of the upper left corner of a picture, and its width.
fn corner(picture: &Path) -> ([u8; 3], u32) {
    let bytes = fs::read(picture).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    ([pixels[0], pixels[1], pixels[2]], info.width)
}

#[test]
fn the_report_in_a_browser() {
    let Some(browser) = chromium::find() else { return };
    let dir = sample::folder("browser");
    let axes = "subset_size = [100, 300]\nseed = { count = 2 }\narchitecture = [\"net\", \"net+dropout\", \"lenet+bn\"]\n\
                lambda = [0, 0.01, 0.1]\nweight_decay = [0, 5e-4]";
    let claim = "\n[[claim]]\ntext = \"the function norm helps\"\nis = \"better\"\nlambda = 0.1\nagainst = { lambda = 0 }\n";
    sample::run(dir.path(), &(sample::grid(axes) + claim), |index, _| match index % 50 {
        7 => Some(Err("a_long_word_without_any_place_to_break_it_".repeat(20))),
        _ => Some(Ok(())),
    });
    write_without_charts(
        &Sources::new(open(&[dir.path().to_owned()]).unwrap()).unwrap(),
        dir.path(),
    )
    .unwrap();
    let page = dir.path().join("report.html");

    // The page lets no script in, so a copy without its policy is measured; in a frame, since
    // windows are not as narrow as a phone.
    let html = fs::read_to_string(&page).unwrap();
    let probe = "<script>const page = document.documentElement; const ends = [...document.querySelectorAll(\
                 '.verdicts, .synthesis, table.pivot, #chart-differences svg')].map(e => e.getBoundingClientRect().bottom);\
                 document.querySelectorAll('details').forEach(e => { e.open = true; });\
                 const wide = [...document.querySelectorAll('body *')].filter(e => \
                 e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll'));\
                 const hints = [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1 && \
                 getComputedStyle(e, '::before').content === 'none' && getComputedStyle(e).backgroundImage === 'none');\
                 parent.postMessage(`window ${innerWidth} page ${page.scrollWidth} beyond ${wide.length} mute ${hints.length} parts \
                 ${ends.length} end ${Math.max(...ends)};`, '*');</script></body>";
    let measured = html.replacen("http-equiv=\"Content-Security-Policy\"", "name=\"policy\"", 1);
    let measured = measured.replacen("</body>", probe, 1);
    assert_ne!(measured, html);
    let copy = dir.path().join("measured.html");
    fs::write(&copy, measured).unwrap();

    // Both frames in one page: a start of the browser takes longer than either.
    let frame = |width| {
        format!("<iframe width=\"{width}\" height=\"2000\" src=\"measured.html\"></iframe>")
    };
    let script = "<script>onmessage = event => { document.title += event.data; }</script>";
    let frames = dir.path().join("frames.html");
    let style = "<style>iframe { border: 0 }</style>";
    let inner: String = WIDTHS.map(frame).concat();
    fs::write(&frames, format!("<!DOCTYPE html><title></title>{style}{script}{inner}")).unwrap();
    let (dom, _) =
        browse(&browser, &frames, WIDTHS[0], &["--dump-dom", "--virtual-time-budget=5000"]);
    let title = dom
        .split("<title>")
        .nth(1)
        .and_then(|rest| rest.split("</title>").next())
        .unwrap_or_default();
    for width in WIDTHS {
        let fits = format!("window {width} page {width} beyond 0 mute 0 parts 4 ");
        assert!(title.contains(&fits), "the page overflows at {width} pixels: `{title}`");
    }
    let desk = title.split(';').find(|part| part.contains("window 1280")).unwrap();
    let end: f64 = desk.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(end <= SCREEN, "the answer ends at {end} pixels: `{title}`");

    for (width, scheme, ground) in
        [(WIDTHS[0], "1", [0xFF, 0xFF, 0xFF]), (WIDTHS[1], "0", [0x14, 0x18, 0x1C])]
    {
        let picture = dir.path().join(format!("{width}-{scheme}.png"));
        let screenshot = format!("--screenshot={}", picture.display());
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        let (_, log) = browse(&browser, &page, width, &[&screenshot, &scheme]);
        assert!(!log.contains("CONSOLE"), "{log}");
        // The colours come from the style sheet alone, so it was let in.
        assert_eq!(corner(&picture), (ground, width));
    }
}
