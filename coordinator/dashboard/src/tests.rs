//! The routes on a real file, asked without a socket.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use swfn_shared::{
    access::Token,
    event::Event,
    grid::{DEFAULT_MAX_TRIALS, Grid},
    ids::LeaseId,
    metrics::{MetricPoint, Outcome, TEST_ACCURACY, TRAIN_LOSS, VAE_LOSS},
    person::{CommandOutcome, PersonCommand, Refusal},
    problem,
    snapshot::{Counts, Running, Snapshot},
    trial::TrialSpec,
};
use swfn_store::{Batch, Reader, ResultRow, Store, WorkerRow, run_dir::RunDir};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tower::ServiceExt as _;

use super::{
    App, Commander,
    guard::Guard,
    queue,
    routes::{self, Stage},
};

pub(super) const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{2028}</";

/// Two seeds of `net` and of `lenet+bn`, without and with function norm: one trial has succeeded,
/// one runs, one was given up.
pub(super) struct House {
    pub(super) dir: TempDir,
    run_dir: RunDir,
    grid: Arc<Grid>,
    pub(super) specs: Arc<[TrialSpec]>,
    snapshots: watch::Sender<Snapshot>,
    /// As long as it lives, the actor could.
    requests: mpsc::Sender<()>,
    store: Store,
}

impl House {
    pub(super) fn new() -> Self {
        let grid = "version = 1\nname = \"house\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 2 }\n\
                    subset_size = [100, 300]\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]\n";
        let grid = Arc::new(Grid::parse("t", grid, DEFAULT_MAX_TRIALS).unwrap());
        let specs: Arc<[TrialSpec]> = grid.trials().collect();
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::open(dir.path()).unwrap();
        let mut store = Store::open(&dir.path().join("sweep.sqlite")).unwrap();
        store.set_trials(&specs).unwrap();
        store.write(1_700_000_000.0, &batch(&specs)).unwrap();
        let snapshot = Snapshot {
            counts: Counts { pending: specs.len() - 3, leased: 1, succeeded: 1, quarantined: 1 },
            workers: 1,
            connected: vec!["ann".parse().unwrap()].into(),
            running: vec![Running {
                trial: specs[1].id(),
                worker: "ann".parse().unwrap(),
                step: 5_000,
            }]
            .into(),
            ..Snapshot::default()
        };
        Self {
            dir,
            run_dir,
            grid,
            specs,
            snapshots: watch::channel(snapshot).0,
            requests: mpsc::channel(8).0,
            store,
        }
    }

    pub(super) fn app(&self) -> App {
        let reader = Reader::new(&self.dir.path().join("sweep.sqlite"));
        let (grid, snapshots) = (Arc::clone(&self.grid), self.snapshots.subscribe());
        App::new(
            grid,
            &self.run_dir.place().unwrap(),
            &self.specs,
            snapshots,
            Some(queue(&self.requests)),
            reader,
        )
    }

    pub(super) fn router(&self, token: Option<Token>) -> Router {
        let stage = Stage(watch::channel(Arc::new(self.app())).1);
        routes::router(stage, Guard::new(Vec::new(), token), "http://head:7077")
    }
}

fn batch(specs: &[TrialSpec]) -> Batch {
    let lease = |index: usize| LeaseId { trial: specs[index].id(), attempt: 1 };
    let worker = WorkerRow {
        id: "ann".parse().unwrap(),
        host: HOSTILE.into(),
        device: "cpu".into(),
        model: "m".repeat(4_000),
        threads: Some(1),
        cuda: None,
        software: "0.1.0".into(),
        libtorch: "2.11.0".into(),
        certificate: None,
    };
    let leased = |index| Event::Leased { lease: lease(index), worker: worker.id.clone() };
    let point = |metric, step, value| MetricPoint { metric, step, value };
    Batch {
        events: vec![
            leased(0),
            leased(1),
            leased(2),
            Event::Succeeded { lease: lease(0) },
            Event::Failed {
                lease: lease(2),
                error: HOSTILE.repeat(50),
                log: "the end".into(),
                quarantine: true,
            },
        ],
        points: vec![
            (
                lease(0),
                (1..=1_000).map(|step| point(TRAIN_LOSS, 10 * step, 1.0 / step as f64)).collect(),
            ),
            (lease(0), vec![point(TEST_ACCURACY, 5_000, 0.8), point(TEST_ACCURACY, 10_000, 0.9)]),
            (lease(1), vec![point(VAE_LOSS, 5_000, 90.0)]),
        ],
        results: vec![ResultRow {
            lease: lease(0),
            worker: worker.id.clone(),
            outcome: Outcome {
                final_test_accuracy: 0.9,
                best_test_accuracy: 0.91,
                final_test_loss: 0.4,
                validation_accuracy: None,
                validated_test_accuracy: None,
                vae_seconds: 0.0,
                classifier_seconds: 2.5,
            },
            dataset_digest: "d".repeat(64).parse().unwrap(),
        }],
        workers: vec![worker],
    }
}

pub(super) fn request(path: &str) -> Request<Body> {
    Request::get(path).header("host", "localhost").body(Body::empty()).unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(super) async fn json(router: &Router, path: &str) -> Value {
    let response = router.clone().oneshot(request(path)).await.unwrap();
    let status = response.status();
    let text = text(response).await;
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn answers_have_the_content_of_the_file() {
    let house = House::new();
    let router = house.router(None);
    let sweep = json(&router, "/api/v1/sweep").await;
    assert_eq!(
        (&sweep["sweep"], &sweep["trials"]["total"], &sweep["trials"]["leased"]),
        (&"house".into(), &16.into(), &1.into())
    );
    assert_eq!(sweep["architectures"], serde_json::json!(["net", "lenet+bn"]));
    assert_eq!(sweep["finished"], false);

    let all = json(&router, "/api/v1/trials").await;
    assert_eq!((&all["total"], all["items"].as_array().unwrap().len()), (&16.into(), 16));
    let of = |query: &'static str| json(&router, query);
    assert_eq!(
        of("/api/v1/trials?state=pending&architecture=lenet+bn&subset_size=300").await["total"],
        4
    );
    let page = of("/api/v1/trials?state=pending&limit=5&offset=10").await;
    assert_eq!((&page["total"], page["items"].as_array().unwrap().len()), (&13.into(), 3));
    let done = &of("/api/v1/trials?state=succeeded").await["items"][0];
    assert_eq!(
        (&done["outcome"]["final_test_accuracy"], &done["worker"]),
        (&0.9.into(), &"ann".into())
    );
    assert_eq!(done["step"], done["steps"]);
    let running = &of("/api/v1/trials?state=leased").await["items"][0];
    assert_eq!(
        (&running["step"], &running["steps"], &running["worker"]),
        (&5_000.into(), &20_000.into(), &"ann".into())
    );
    let failed = of("/api/v1/trials?state=quarantined").await["items"][0].clone();
    assert!(failed["error"].as_str().unwrap().len() < 310, "a list has the beginning");

    let id = failed["id"].as_str().unwrap().to_owned();
    // Running ones come first, and axes are what they are sorted and chosen by.
    let states = async |query: &str| {
        let list = json(&router, &format!("/api/v1/trials?{query}")).await;
        let states = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|trial| trial["state"].as_str().unwrap().to_owned());
        states.collect::<Vec<_>>()
    };
    assert_eq!(
        states("sort=state&limit=4").await,
        ["leased", "succeeded", "quarantined", "pending"]
    );
    assert_eq!(states("sort=-accuracy&limit=2").await, ["succeeded", "leased"]);
    assert_eq!(
        all["items"][0]["axes"],
        serde_json::json!({"network": "net", "regulariser": "none", "subset_size": "100"})
    );
    let titles: Vec<_> = sweep["axes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|axis| axis["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles, ["network", "n", "regulariser", "seed"]);
    let by_seed =
        of("/api/v1/trials?network=lenet&regulariser=bn%20%2B%20fn%200.1&sort=-seed").await;
    assert_eq!((&by_seed["total"], &by_seed["items"][0]["seed"]), (&4.into(), &1.into()));

    let details = json(&router, &format!("/api/v1/trials/{id}")).await;
    assert_eq!(
        (&details["log"], &details["events"][0]["kind"]),
        (&"the end".into(), &"failed".into())
    );
    assert_eq!(details["settings"]["classifier"]["iterations"], 10_000);
    let (first, second) = (house.specs[0].id(), house.specs[1].id());
    assert_eq!(json(&router, &format!("/api/v1/trials/{first}/points")).await["total"], 1_002);
    let curve = json(&router, &format!("/api/v1/trials/{first}/points?metric=test/accuracy")).await;
    assert_eq!(
        curve["items"][1],
        serde_json::json!({"metric": "test/accuracy", "step": 10_000, "value": 0.9})
    );
    let part = json(
        &router,
        &format!("/api/v1/trials/{first}/points?metric=train/loss&limit=10&offset=995"),
    )
    .await;
    assert_eq!(part["items"].as_array().unwrap().len(), 5);
    assert_eq!(
        json(&router, &format!("/api/v1/trials/{second}/points")).await["items"][0]["metric"],
        "vae/loss"
    );

    let cells = json(&router, "/api/v1/cells").await;
    assert!(
        cells["legend"]
            .as_str()
            .unwrap()
            .starts_with("Mean ± half of the 95 % confidence interval")
    );
    assert_eq!(cells["selection"], "final");
    assert_eq!(
        (&cells["total"], &cells["items"][0]["final_test_accuracy"]["mean"]),
        (&8.into(), &0.9.into())
    );
    let cell = cells["items"][0]["id"].as_str().unwrap();
    let curves = json(&router, &format!("/api/v1/curves?cells={cell}")).await;
    let expected = serde_json::json!({"step": 10_000, "n": 1, "mean": 0.9, "confidence_95": null});
    assert_eq!(curves["curves"][cell].as_array().unwrap().last().unwrap(), &expected);
    let answer = json(&router, "/api/v1/answer").await;
    let first = &answer["pivot"]["rows"][0];
    assert_eq!(
        (&first["network"], &first["regulariser"], &answer["cells"][0]),
        (&"net".into(), &"none".into(), &cell.into())
    );
    assert_eq!(
        (&first["cells"][0]["seeds"], &first["cells"][0]["planned"]),
        (&1.into(), &2.into())
    );
    assert_eq!(answer["synthesis"]["open"], true);
    let worker = json(&router, "/api/v1/workers").await["items"][0].clone();
    assert_eq!(
        (&worker["connected"], &worker["running"], &worker["succeeded"]),
        (&true.into(), &1.into(), &1.into())
    );
    assert_eq!((&worker["host"], worker["model"].as_str().unwrap().len()), (&HOSTILE.into(), 303));
    drop(house.store);
}

#[tokio::test]
async fn an_unchanged_answer_is_not_sent_again() {
    let house = House::new();
    let router = house.router(None);
    let ask = async |tag: Option<&str>| {
        let mut request = request("/api/v1/answer");
        tag.iter().for_each(|tag| {
            drop(request.headers_mut().insert(header::IF_NONE_MATCH, tag.parse().unwrap()))
        });
        let response = router.clone().oneshot(request).await.unwrap();
        let tag = response.headers()[header::ETAG].to_str().unwrap().to_owned();
        (response.status(), tag, text(response).await)
    };
    let (status, tag, body) = ask(None).await;
    assert!(status == StatusCode::OK && body.contains("pivot"), "{body}");
    assert_eq!(ask(Some(&tag)).await, (StatusCode::NOT_MODIFIED, tag.clone(), String::new()));
    assert_eq!(ask(Some("\"0\"")).await, (StatusCode::OK, tag, body));
}

#[tokio::test]
async fn every_answer_restricts_browsers() {
    let house = House::new();
    let router = house.router(None);
    let paths = [
        "/",
        "/style.css",
        "/dashboard.js",
        "/api/v1/trials",
        "/metrics",
        "/healthz",
        "/nothing",
        "/api/v1/trials?x=1",
    ];
    for (path, host) in
        paths.map(|path| (path, "localhost")).into_iter().chain([("/", "evil.example")])
    {
        let mut request = request(path);
        request.headers_mut().insert(header::HOST, host.parse().unwrap());
        let response = router.clone().oneshot(request).await.unwrap();
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
        };
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'")
                && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(
            (header("x-content-type-options"), header("cache-control")),
            ("nosniff", "no-store"),
            "{path}"
        );
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert_eq!(header("access-control-allow-origin"), "", "{path}");
        assert_ne!(header("content-type"), "", "{path}");
    }
}

#[tokio::test]
async fn problems_are_json() {
    let house = House::new();
    let router = house.router(None);
    let none = "0".repeat(32);
    for (path, status) in [
        ("/api/v1/trials?state=done", 400),
        ("/api/v1/sweep?x", 400),
        ("/api/v1/trials/xyz", 400),
        ("/api/v1/trials/%ff", 400),
        (&format!("/api/v1/trials/{none}"), 404),
        (&format!("/api/v1/trials/{none}/points"), 404),
        (&format!("/api/v1/trials/{none}/points?metric=x"), 400),
        ("/api/v1/trials/", 404),
        ("/api/v2/sweep", 404),
        ("/../etc/passwd", 404),
        ("//", 404),
    ] {
        let response = router.clone().oneshot(request(path)).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let error: Value = serde_json::from_str(&text(response).await).unwrap_or_default();
        assert!(error["error"]["message"].is_string(), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_head_has_no_body_and_metrics_count() {
    let house = House::new();
    let router = house.router(None);
    let mut head = request("/api/v1/sweep");
    *head.method_mut() = "HEAD".parse().unwrap();
    let response = router.clone().oneshot(head).await.unwrap();
    assert_eq!((response.status(), text(response).await), (StatusCode::OK, String::new()));
    let metrics = text(router.oneshot(request("/metrics")).await.unwrap()).await;
    for line in [
        "swfn_trials{state=\"pending\"} 13",
        "swfn_trials{state=\"quarantined\"} 1",
        "swfn_requests_room 8",
        "# HELP swfn_trials ",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn a_ready_engine_publishes_its_state() {
    let house = House::new();
    let router = house.router(None);
    let status = async |path| router.clone().oneshot(request(path)).await.unwrap().status();
    assert_eq!(status("/readyz").await, StatusCode::SERVICE_UNAVAILABLE, "nothing moves");
    let shown = async {
        sleep(Duration::from_millis(50)).await;
        house.snapshots.send_modify(|_| {});
    };
    assert_eq!(tokio::join!(status("/readyz"), shown).0, StatusCode::OK);
    std::fs::remove_file(house.dir.path().join("lock")).unwrap();
    assert_eq!(status("/readyz").await, StatusCode::SERVICE_UNAVAILABLE, "its folder is not whole");
    // It lives, whatever the disk does.
    std::fs::remove_dir_all(house.dir.path()).unwrap();
    assert_eq!(status("/healthz").await, StatusCode::OK);
    assert_eq!(status("/api/v1/sweep").await, StatusCode::OK);
    assert_eq!(status("/api/v1/trials").await, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn guesses_of_the_token_are_answered_late() {
    let (house, token) = (House::new(), Token::random());
    let router = house.router(Some(token.clone()));
    let of = async |path, authorization: Option<String>| {
        let mut request = request(path);
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let began = Instant::now();
        let response = router.clone().oneshot(request).await.unwrap();
        (
            response.status(),
            began.elapsed(),
            response.headers().contains_key(header::WWW_AUTHENTICATE),
        )
    };
    let guess = of("/metrics", Some("Bearer x".to_owned()));
    let known = of("/metrics", Some(format!("Bearer {}", token.reveal())));
    let ((status, late, asked), (known, at_once, _)) = tokio::join!(guess, known);
    assert_eq!((status, asked, known), (StatusCode::UNAUTHORIZED, true, StatusCode::OK));
    assert!(late >= Duration::from_millis(500) && at_once < late, "{late:?} {at_once:?}");
    let (status, _, asked) = of("/", None).await;
    assert_eq!((status, asked), (StatusCode::UNAUTHORIZED, true));
    assert_eq!(of("/healthz", None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn only_named_pages_may_frame_the_dashboard() {
    let house = House::new();
    let in_frame = || {
        let head = request("/");
        let (mut head, body) = head.into_parts();
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "iframe"),
        ] {
            head.headers.insert(name, value.parse().unwrap());
        }
        Request::from_parts(head, body)
    };
    let policy = |response: &Response<Body>| {
        response.headers()["content-security-policy"].to_str().unwrap().to_owned()
    };
    let alone = house.router(None);
    let refused = alone.clone().oneshot(in_frame()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let page = alone.oneshot(request("/")).await.unwrap();
    assert!(policy(&page).ends_with("; frame-ancestors 'none'"));
    assert_eq!(page.headers()[header::X_FRAME_OPTIONS], "DENY");

    let hub = vec!["https://hub.example".to_owned(), "http://lab:8000".to_owned()];
    let mut guard = Guard::new(Vec::new(), None);
    guard.frames = hub;
    let named = routes::router(Stage(watch::channel(Arc::new(house.app())).1), guard, "");
    let page = named.clone().oneshot(in_frame()).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(
        policy(&page).ends_with("; frame-ancestors https://hub.example http://lab:8000"),
        "{}",
        policy(&page)
    );
    assert!(!page.headers().contains_key(header::X_FRAME_OPTIONS));
    let mut data = in_frame();
    *data.uri_mut() = "/api/v1/sweep".parse().unwrap();
    assert_eq!(
        named.oneshot(data).await.unwrap().status(),
        StatusCode::FORBIDDEN,
        "the page alone"
    );
}

#[tokio::test]
async fn permitted_commands_reach_the_engine() {
    let house = House::new();
    let (sender, mut heard) = mpsc::unbounded_channel();
    let commander: Commander = Box::new(move |command: PersonCommand| {
        sender.send(command.clone()).unwrap();
        let done = match command {
            PersonCommand::Retry(_) => Ok(CommandOutcome::Retried { trials: 1, left_out: 0 }),
            PersonCommand::Drain(_) => Err(Refusal::Missing(problem!("no such worker"; "look"))),
        };
        Box::pin(std::future::ready(Some(done)))
    });
    let stage = |app: App| Stage(watch::channel(Arc::new(app)).1);
    let router = |app| routes::router(stage(app), Guard::new(Vec::new(), None), "http://head:7077");
    let post = |body: String| {
        let request = Request::post("/api/v1/commands")
            .header("host", "localhost")
            .header("origin", "http://localhost");
        request.header("content-type", "application/json").body(Body::from(body)).unwrap()
    };
    let ask = async |router: &Router, body: &str| {
        let response = router.clone().oneshot(post(body.to_owned())).await.unwrap();
        (response.status().as_u16(), text(response).await)
    };
    let open = router(App { commander: Some(commander), ..house.app() });
    let retry = format!(
        r#"{{"retry":{{"failed":false,"diverged":false,"trials":["{}"]}}}}"#,
        house.specs[2].id()
    );
    assert_eq!(
        ask(&open, &retry).await,
        (200, r#"{"retried":{"trials":1,"left_out":0}}"#.to_owned())
    );
    assert_eq!(heard.recv().await.unwrap().json(), retry);
    let (status, said) = ask(&open, r#"{"drain":{"workers":["bob"]}}"#).await;
    assert!(
        status == 404 && said.contains(r#""message":"no such worker","hint":"look""#),
        "{said}"
    );
    assert!(matches!(heard.recv().await, Some(PersonCommand::Drain(_))));
    let (status, said) = ask(&open, r#"{"drain":{"workers":[]}}"#).await;
    assert!(status == 400 && said.contains("`drain.workers` is empty"), "{said}");
    assert_eq!(ask(&open, &"x".repeat(70_000)).await.0, 413);
    let form = Request::post("/api/v1/commands")
        .header("host", "localhost")
        .body(Body::from(retry.clone()))
        .unwrap();
    assert_eq!(
        open.clone().oneshot(form).await.unwrap().status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    assert!(heard.try_recv().is_err(), "what is refused is not brought to anybody");
    let sweep = json(&open, "/api/v1/sweep").await;
    assert_eq!(sweep["commands"], true);
    // Where all users of a machine can look, and in front of files alone.
    let closed = house.router(None);
    let (status, said) = ask(&closed, &retry).await;
    assert!(status == 403 && said.contains("nothing can be commanded here"), "{said}");
    assert_eq!(json(&closed, "/api/v1/sweep").await["commands"], false);
}
