//! The page itself, in a browser: it shows what the sweep came to, and what a worker says stays text.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use nix::sys::signal::Signal;
use swfn_proto::v1::{self, coordinator_message::Kind as Told, worker_message::Kind};
use swfn_tests::{
    browser::{self, Rendered},
    page::json,
    process::wait_until,
    sweep::Sweep,
    talk::{Talk, hello},
};
use tonic::transport::Endpoint;

use super::{AXES, DOORS};

/// How often a text comes in what is rendered.
fn count(page: &Rendered, text: &str) -> usize {
    page.dom.matches(text).count()
}

#[test]
fn it_shows_a_finished_sweep() {
    let Some(browser) = browser::find() else { return };
    // On digits: with few images, seeds may have equal accuracies, and then there is no interval to show.
    let sweep = Sweep::of_digits(AXES, 60);
    let mut coordinator = sweep.coordinator("coordinator", &DOORS);
    let page = sweep.dashboard(&coordinator);
    // On a busy machine the browser may look before the page has its answers: it looks again.
    let empty = wait_until("a page without workers", || {
        let empty = browser::render(&browser, &format!("http://{page}/"));
        let told = empty.dom.contains("waiting for workers") && empty.dom.contains("no worker has joined yet");
        told.then_some(empty)
    });
    assert_eq!(empty.console, [""; 0]);

    let mut worker = sweep.worker("worker", &sweep.address(&coordinator), &["--exit-when-idle", "1"]);
    wait_until("the end of the sweep", || (json(&page, "/api/v1/sweep")["finished"] == true).then_some(()));
    let trials = json(&page, "/api/v1/trials");
    let id = trials["items"][3]["id"].as_str().expect("an id");
    let shown = wait_until("accuracy, both losses, the function norm, the VAE", || {
        let shown = browser::render(&browser, &format!("http://{page}/#trial={id}"));
        (count(&shown, "class=\"curve\"") == 5).then_some(shown)
    });
    assert_eq!(shown.console, [""; 0], "the page breaks its own rules");
    assert!(shown.dom.contains("<title>100 % test</title>"), "{}", shown.dom);
    assert_eq!(count(&shown, "data-trial="), 8);
    // Text stands in elements, values in what is heard: as on the terminal, with two digits.
    for trial in trials["items"].as_array().expect("a list") {
        let accuracy = 100.0 * trial["outcome"]["final_test_accuracy"].as_f64().expect("it succeeded");
        assert!(shown.dom.contains(&format!(">{accuracy:.2}</td>")), "{accuracy} is not in\n{}", shown.dom);
    }
    assert!(shown.dom.contains(&format!("Trial {}", &id[..8])));
    worker.succeed();
    coordinator.signal(Signal::SIGTERM);
    coordinator.succeed();
    // Means and intervals are rounded as in the table at the end, halves of the last digit included.
    let table = coordinator.stdout();
    let words: Vec<_> = table.split_whitespace().collect();
    let is_number = |text: &&str| text.parse::<f64>().is_ok();
    let estimates = words.windows(3).filter(|at| is_number(&at[0]) && at[1] == "±" && is_number(&at[2]));
    let estimates: Vec<_> = estimates.map(|at| at.join(" ").replace('-', "−")).collect();
    assert!(estimates.len() >= 4, "{table}");
    for estimate in estimates {
        assert!(shown.dom.contains(&format!("{estimate}</td>")), "{estimate} is not in\n{}", shown.dom);
    }
}

/// A proxy that serves a page below a path, which it takes off; returns the address of the page there.
fn below_a_path(page: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let page = page.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, page) = (stream.unwrap(), page.clone());
            thread::spawn(move || {
                let mut head = String::new();
                let mut reader = BufReader::new(stream);
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {}
                let mut stream = reader.into_inner();
                let Some(rest) = head.strip_prefix("GET /proxy/7078") else {
                    let _ =
                        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    return;
                };
                let mut server = TcpStream::connect(page).unwrap();
                let request = format!("GET {}", rest.replacen("\r\n", "\r\nconnection: close\r\n", 1));
                let _ = server.write_all(request.replace("keep-alive", "close").as_bytes());
                let _ = io::copy(&mut server, &mut stream);
            });
        }
    });
    format!("http://{address}/proxy/7078/")
}

#[test]
fn it_works_below_a_path() {
    let Some(browser) = browser::find() else { return };
    let sweep = Sweep::new(AXES, 60);
    let coordinator = sweep.coordinator("coordinator", &DOORS);
    let place = below_a_path(&sweep.dashboard(&coordinator));
    let shown = wait_until("a page without workers", || {
        let shown = browser::render(&browser, &place);
        let told = shown.dom.contains("waiting for workers") && shown.dom.contains("no worker has joined yet");
        told.then_some(shown)
    });
    assert_eq!(shown.console, [""; 0]);
    assert!(!shown.dom.contains("have not come"), "{}", shown.dom);
}

const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

#[tokio::test]
async fn what_a_worker_says_stays_text() {
    let Some(browser) = browser::find() else { return };
    let grid = "version = 1\nname = \"test\"\n[data]\ndataset = \"synthetic\"\n[grid]\nseed = [0, 1]\nsubset_size = 40\n\
                architecture = \"net\"\nlambda = 0\n[run]\nmax_failures = 1\n";
    let sweep = Sweep::of_grid(grid);
    let coordinator = sweep.coordinator("coordinator", &DOORS);
    let page = sweep.dashboard(&coordinator);
    let endpoint = Endpoint::from_shared(sweep.address(&coordinator)).expect("a URL");
    let channel = endpoint.connect().await.expect("the coordinator listens");
    let device = v1::Device { name: HOSTILE.into(), model: HOSTILE.into(), ..v1::Device::default() };
    let introduction = v1::Hello { host: HOSTILE.into(), device: Some(device), ..hello("mallory") };
    let mut talk = Talk::open(channel, "none", introduction).await.expect("it is let in");
    talk.tell(0, Kind::Ask(v1::Ask { lanes: 2, ..v1::Ask::default() })).await;
    let lease = loop {
        if let Told::Grant(grant) = talk.next().await.expect("a grant") {
            break grant.leases[0].id.clone();
        }
    };
    let id = lease.as_ref().expect("a lease has an id").trial.clone();
    let failed = v1::Failed { lease, message: HOSTILE.into(), log: format!("{HOSTILE}\n"), ..v1::Failed::default() };
    talk.tell(1, Kind::Failed(failed)).await;
    let shown = tokio::task::spawn_blocking(move || {
        wait_until("the failure", || (json(&page, "/api/v1/sweep")["trials"]["quarantined"] == 1).then_some(()));
        assert_eq!(json(&page, &format!("/api/v1/trials/{id}"))["error"], HOSTILE);
        browser::render(&browser, &format!("http://{page}/#trial={id}"))
    })
    .await
    .expect("a page");
    assert!(!shown.dom.contains("owned</title>") && !shown.dom.contains("<img"), "{}", shown.dom);
    // As a device, a model and a host; as the error in two places; as a log.
    assert!(count(&shown, "&lt;img src=x onerror") >= 6, "{}", shown.dom);
    assert_eq!(count(&shown, "<script"), 1, "its own");
    assert_eq!(shown.console, [""; 0]);
}
