//! The page in a browser: it shows the sweep's results, and a worker's texts stay text.

use nix::sys::signal::Signal;
use serde_json::Value;
use swfn_proto::v1::{self, coordinator_message::Kind as Answer, worker_message::Kind};
use swfn_tests::{
    browser::Browser,
    fake_worker::{FakeWorker, hello},
    page::{ask, json},
    process::wait_until,
    sweep::Sweep,
};
use tonic::transport::Endpoint;

use super::{DOORS, below::serve_below_path};

/// Three seeds, so that there are intervals.
const AXES: &str = "seed = { count = 3 }\nsubset_size = 40\narchitecture = [\"net\", \"lenet\"]\nlambda = [0, 0.1]";

/// Returns the texts of all elements that a selector finds.
fn texts(browser: &mut Browser, selector: &str) -> Vec<String> {
    let all = format!(
        "[...document.querySelectorAll({selector:?})].map((node) => node.textContent.trim())"
    );
    let Value::Array(texts) = browser.evaluate(&all) else { return Vec::new() };
    texts.into_iter().map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
}

fn percent(share: &Value) -> String {
    format!("{:.2}", 100.0 * share.as_f64().expect("a share"))
}

#[test]
fn it_shows_a_finished_sweep() {
    let Some(mut browser) = Browser::start(1280) else { return };
    // Digits are used, because with few images seeds may have equal accuracies, and no interval.
    let sweep = Sweep::with_digits(AXES, 60);
    let mut coordinator = sweep.coordinator("coordinator", &DOORS);
    let page = sweep.dashboard(&coordinator);
    browser.go(&format!("http://{page}/"));
    browser.wait(
        "a page without workers",
        "document.querySelector('#workers .empty') && document.querySelector('#pivot table')",
    );
    assert_eq!(texts(&mut browser, "#eta, #percent"), ["0.0 %", "waiting for workers"]);
    assert_eq!(browser.evaluate("document.getElementById('bar-done').style.width"), "0%");
    assert_eq!(texts(&mut browser, ".entry .star"), [""; 0], "nothing is best yet");

    let mut worker =
        sweep.worker("worker", &sweep.address(&coordinator), &["--exit-when-idle", "1"]);
    wait_until("the end of the sweep", || {
        (json(&page, "/api/v1/sweep")["finished"] == true).then_some(())
    });
    browser.wait(
        "the page to say so",
        "document.title === '100 % test' && document.querySelectorAll('.entry .half').length === 4",
    );
    assert_eq!(browser.evaluate("document.getElementById('bar-done').style.width"), "100%");
    let answer = json(&page, "/api/v1/answer");
    let mut cells = Vec::new();
    for row in answer["pivot"]["rows"].as_array().expect("a list") {
        for cell in row["cells"].as_array().expect("a list") {
            cells.push(format!("{} ± {}", percent(&cell["mean"]), percent(&cell["confidence_95"])));
        }
    }
    let shown: Vec<_> = texts(&mut browser, ".entry .mean");
    let bare: Vec<_> = shown.iter().map(|text| text.trim_matches(['★', '▲', '▼', ' '])).collect();
    assert_eq!(bare, cells);
    assert_eq!(
        shown.iter().filter(|text| text.contains('★')).count(),
        2,
        "one in each column of each network"
    );
    assert!(
        texts(&mut browser, "#synthesis")[0].contains(" of 2 comparisons "),
        "{:?}",
        texts(&mut browser, "#synthesis")
    );

    // A click draws a cell's curve, another one removes it.
    browser.wait("curves", "document.querySelectorAll('.overlay .band').length === 2");
    browser.evaluate("document.querySelector('.panel:last-child .entry').click()");
    browser.wait("one curve more", "document.querySelectorAll('.overlay .band').length === 3");
    assert_eq!(texts(&mut browser, ".legend li").len(), 3);
    browser.evaluate("document.querySelector('.panel:last-child .entry').click()");
    browser.wait("as before", "document.querySelectorAll('.overlay .band').length === 2");
    browser.evaluate("document.querySelector('.panel:last-child .column').click()");
    browser.wait(
        "those of a column",
        "document.querySelectorAll('.panel:last-child [aria-pressed=true]').length === 2",
    );

    // There are filters for all axes that vary, and lists that they sort.
    let filters = texts(&mut browser, "#filters label")
        .iter()
        .map(|text| text.split(' ').next().unwrap().to_owned())
        .collect::<Vec<_>>();
    assert_eq!(filters, ["state", "network", "regulariser", "seed"]);
    let choose = "(() => { const select = document.querySelector('[data-filter=regulariser]'); select.value = 'fn 0.1'; \
                  select.dispatchEvent(new Event('change')); })()";
    browser.evaluate(choose);
    browser.wait("the trials of it", "document.querySelectorAll('#trials tbody tr').length === 6");
    browser.evaluate("[...document.querySelectorAll('#trials .sort')].find((button) => button.textContent.startsWith('accuracy')).click()");
    browser.wait(
        "the highest first",
        "document.querySelector('#trials th[aria-sort=descending]')?.textContent.startsWith('accuracy')",
    );
    let sorted: Vec<f64> = texts(&mut browser, "#trials td[data-title='accuracy %']")
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    assert!(sorted.is_sorted_by(|one, other| one >= other), "{sorted:?}");

    browser.evaluate("document.querySelector('#trials tbody tr').click()");
    browser.wait(
        "accuracy, both losses, the function norm, the VAE",
        "document.querySelectorAll('#charts .curve').length === 5",
    );
    assert!(
        texts(&mut browser, "#trial-title")[0].contains("fn 0.1, seed "),
        "{:?}",
        texts(&mut browser, "#trial-title")
    );
    assert!(
        texts(&mut browser, "#trials .worker")
            .iter()
            .all(|name| name.ends_with(" cpu 0") && name.len() < 45)
    );
    assert_eq!(browser.console(), [""; 0], "the page breaks its own rules");
    worker.succeed();
    coordinator.signal(Signal::SIGTERM);
    coordinator.succeed();
}

#[test]
fn it_fits_a_phone() {
    let Some(mut browser) = Browser::start(390) else { return };
    let sweep = Sweep::new(AXES, 60);
    let coordinator = sweep.coordinator("coordinator", &DOORS);
    browser.go(&format!("http://{}/", sweep.dashboard(&coordinator)));
    browser.wait(
        "the page",
        "document.querySelector('#workers .empty') && document.querySelector('#pivot table')",
    );
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), 390);
    let boxes = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth).length";
    assert_eq!(browser.evaluate(boxes), 0, "nothing has to be scrolled sideways");
}

#[test]
fn it_works_below_a_path() {
    let Some(mut browser) = Browser::start(1280) else { return };
    let grid =
        swfn_tests::sweep::grid(AXES, 60, "lease_seconds = 60") + "[artifacts]\nconfusion = true\n";
    let sweep = Sweep::with_grid(&grid).on(swfn_tests::images::few());
    let coordinator =
        sweep.coordinator("coordinator", &[&DOORS[..], &["--local-workers", "1"]].concat());
    let page = sweep.dashboard(&coordinator);
    wait_until("the end of the sweep", || {
        (json(&page, "/api/v1/sweep")["finished"] == true).then_some(())
    });
    std::fs::write(sweep.run_dir().join("report.html"), "<p>the report").unwrap();
    let place = serve_below_path(&page, "/user/me/proxy/7078");
    browser.go(&place);
    browser.wait(
        "the page",
        "document.title === '100 % test' && document.querySelector('.links a') && document.querySelector('.overlay')",
    );
    let inside = |browser: &mut Browser, what: &str| {
        let Value::Array(all) = browser.evaluate(what) else { panic!("{what}") };
        let outside: Vec<_> = all
            .iter()
            .filter(|url| !url.as_str().is_some_and(|url| url.starts_with(&place)))
            .collect();
        assert!(outside.is_empty(), "{outside:?}");
        all.len()
    };
    assert!(
        inside(&mut browser, "performance.getEntriesByType('resource').map(({ name }) => name)")
            >= 20
    );
    let links =
        "[...document.querySelectorAll('[href], [src]')].map((node) => node.href ?? node.src)";
    assert!(inside(&mut browser, links) >= 20);
    // All links work: the report, the log, the file, the pages for programs.
    let fetched = "Promise.all([...document.querySelectorAll('a[href]')].map(async ({ href }) => (await fetch(href)).status))";
    let Value::Array(statuses) = browser.evaluate(fetched) else { panic!("no statuses") };
    assert!(statuses.len() >= 5 && statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(browser.console(), [""; 0]);
}

const HOSTILE: &str =
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

#[tokio::test]
async fn texts_of_workers_stay_text() {
    let Some(mut browser) = Browser::start(1280) else { return };
    let grid = "version = 1\nname = \"test\"\n[data]\ndataset = \"synthetic\"\n[grid]\nseed = [0, 1]\nsubset_size = 40\n\
                architecture = \"net\"\nlambda = 0\n[run]\nmax_failures = 1\n";
    let sweep = Sweep::with_grid(grid);
    let coordinator = sweep.coordinator("coordinator", &DOORS);
    let page = sweep.dashboard(&coordinator);
    let endpoint = Endpoint::from_shared(sweep.address(&coordinator)).expect("a URL");
    let channel = endpoint.connect().await.expect("the coordinator listens");
    let device =
        v1::Device { name: HOSTILE.into(), model: HOSTILE.into(), ..v1::Device::default() };
    let introduction = v1::Hello { host: HOSTILE.into(), device: Some(device), ..hello("mallory") };
    let mut worker = FakeWorker::open(channel, "none", introduction).await.expect("it is let in");
    worker.send(0, Kind::Ask(v1::Ask { lanes: 2, ..v1::Ask::default() })).await;
    let lease = loop {
        if let Answer::Grant(grant) = worker.next().await.expect("a grant") {
            break grant.leases[0].id.clone();
        }
    };
    let id = lease.as_ref().expect("a lease has an id").trial.clone();
    let failed = v1::Failed {
        lease,
        message: HOSTILE.into(),
        log: format!("{HOSTILE}\n"),
        ..v1::Failed::default()
    };
    worker.send(1, Kind::Failed(failed)).await;
    let (dom, console) = tokio::task::spawn_blocking(move || {
        wait_until("the failure", || (json(&page, "/api/v1/sweep")["trials"]["quarantined"] == 1).then_some(()));
        assert_eq!(json(&page, &format!("/api/v1/trials/{id}"))["error"], HOSTILE);
        browser.go(&format!("http://{page}/#trial={id}"));
        browser.wait("the trial", "document.querySelector('#trial-facts pre') && document.querySelector('#failures details') && document.querySelector('#workers .clip')");
        (browser.dom(), browser.console().to_vec())
    })
    .await
    .expect("a page");
    assert!(!dom.contains("owned</title>") && !dom.contains("<img"), "{dom}");
    // The text occurs as a device, a model and a host, twice as an error, and in a log.
    assert!(dom.matches("&lt;img src=x onerror").count() >= 6, "{dom}");
    assert_eq!(dom.matches("<script").count(), 1, "its own");
    assert_eq!(console, [""; 0]);
}

/// All trials have a result except a hundred, some of which run.
const FILLED: &str = r#"
    INSERT INTO worker VALUES ('w', 'h', 'cpu', 'm', '0', '2', 1, 1, '', NULL);
    UPDATE trial SET state = CASE WHEN number % 200 > 0 THEN 'succeeded' ELSE 'leased' END, attempt = 1;
    INSERT INTO event (at, trial, attempt, kind, worker) SELECT number, number, 1, 'leased', 'w' FROM trial;
    INSERT INTO event (at, trial, attempt, kind, worker)
      SELECT number, number, 1, 'succeeded', 'w' FROM trial WHERE state = 'succeeded';
    INSERT INTO success SELECT number, 1, 'w', NULL FROM trial WHERE state = 'succeeded';
    INSERT INTO outcome SELECT trial, 1, 'final_test_accuracy', 0.5 + (trial * 7919 % 1000) / 4000.0 FROM success;
    INSERT INTO outcome SELECT trial, 1, metric.value ->> 0, metric.value ->> 1 FROM success, json_each(
      '[["best_test_accuracy", 0.8], ["final_test_loss", 1], ["vae_seconds", 0], ["classifier_seconds", 1]]') metric;
    INSERT INTO point SELECT trial.number, 1, 2, 100 * value, 0.5 + value / 50.0
      FROM trial, json_each('[1,2,3,4,5,6,7,8,9,10]') WHERE state = 'succeeded';
    UPDATE integrity SET rows = rows + 1;"#;

#[test]
#[ignore = "make test-all: twenty thousand trials take a while to be made up"]
fn twenty_thousand_trials_are_shown_at_once() {
    let Some(mut browser) = Browser::start(1280) else { return };
    let axes = "seed = { count = 100 }\nsubset_size = [20, 40, 60, 80, 100]\nlambda = [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]\n\
                architecture = [\"net\", \"net+dropout\", \"lenet\", \"lenet+bn\"]";
    let sweep = Sweep::new(axes, 1_000);
    let mut coordinator =
        sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0", "--http", "off"]);
    sweep.address(&coordinator);
    coordinator.signal(Signal::SIGTERM);
    coordinator.succeed();
    let database = rusqlite::Connection::open(sweep.run_dir().join("sweep.sqlite")).unwrap();
    database.execute_batch(FILLED).unwrap();
    let view = super::view::view(&sweep, "view", &[]);
    let page = super::view::page_address(&view);
    wait_until("the answer", || (ask(&page, "/api/v1/answer", &[]).status == 200).then_some(()));
    assert_eq!(json(&page, "/api/v1/answer")["cells"].as_array().map(Vec::len), Some(200));
    let measure =
        "performance.getEntriesByType('measure').reduce((sum, { duration }) => sum + duration, 0)";
    browser.go(&format!("http://{page}/"));
    browser.wait(
        "all of it",
        "document.querySelector('.overlay') && document.querySelectorAll('#trials tbody tr').length === 15",
    );
    let paint = browser
        .evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        .as_f64()
        .unwrap();
    let drawn = browser.evaluate(measure).as_f64().unwrap();
    let sent = browser
        .evaluate("performance.getEntriesByType('resource').reduce((sum, { transferSize }) => sum + transferSize, 0)");
    // Measures the time to redraw all cells and other curves.
    browser.evaluate("performance.clearMeasures()");
    browser.evaluate("document.querySelector('.panel:last-child .column').click()");
    browser.wait(
        "an update",
        "performance.getEntriesByName('draw pivot').length > 0 && performance.getEntriesByName('draw curves').length > 0",
    );
    let update = browser.evaluate(measure).as_f64().unwrap();
    println!(
        "first paint {paint:.0} ms, scripts {drawn:.0} ms, {sent} bytes; an update {update:.0} ms"
    );
    assert!(
        paint < 5_000.0 && drawn < 2_500.0 && update < 1_000.0,
        "first paint {paint}, drawn in {drawn}, update {update}"
    );
    assert!(sent.as_f64().unwrap() < 1e6, "{sent} bytes");
    assert_eq!(browser.console(), [""; 0]);
}
