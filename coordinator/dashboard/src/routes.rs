//! The routes, and the headers that every answer has.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{
        DefaultBodyLimit, FromRef, Path, RawQuery, Request, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::Serialize;
use swfn_access::gate::Visitor;
use swfn_report::{legend, names, palette};
use swfn_shared::{ids::TrialId, wire::WORKERS_HEADER};
use swfn_store::{ReadError, live, mean_curves};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{
    app::App,
    commands, etag, files,
    guard::{self, Guard},
    metrics, page,
    problem::Problem,
    query::{self, Trials},
    ready::is_ready,
    views::{
        AnswerView, CellView, CellsView, CurvesView, ListView, PointsView, SweepView, TrialDetails,
        TrialView, WorkerView,
    },
};

/// The longest time until an answer begins.
const ANSWER: Duration = Duration::from_secs(15);

/// The delay of the answer to a wrong token. It slows down guesses alone.
const GUESS: Duration = Duration::from_millis(500);

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors";

/// The newest app, which all routes share.
#[derive(Clone)]
pub(super) struct Stage(pub(super) watch::Receiver<Arc<App>>);

impl FromRef<Stage> for Arc<App> {
    fn from_ref(stage: &Stage) -> Self {
        Self::clone(&stage.0.borrow())
    }
}

pub(super) type Shared = State<Arc<App>>;

/// The variable texts of a path, unless they are no UTF-8.
type InPath<T> = Result<Path<T>, PathRejection>;
type Pair = (String, String);

/// The address that a connection came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local(pub(super) IpAddr);

pub(super) fn router(stage: Stage, guard: Guard, join_at: &str) -> Router {
    let join_at = HeaderValue::from_str(join_at).ok();
    let frames = guard.frames.join(" ");
    let ancestors = if frames.is_empty() { "'none'" } else { &frames };
    let policy = HeaderValue::from_str(&format!("{POLICY} {ancestors}"));
    let policy = policy.expect("origins are ASCII");
    let mut router = Router::new()
        .route("/api/v1/sweep", get(sweep))
        .route("/api/v1/answer", get(answer))
        .route("/api/v1/cells", get(cells))
        .route("/api/v1/trials", get(trials))
        .route("/api/v1/trials/{id}", get(trial))
        .route("/api/v1/trials/{id}/points", get(points))
        .route("/api/v1/trials/{id}/logs/{attempt}", get(log))
        .route("/api/v1/trials/{id}/files/{name}", get(artifact))
        .route("/api/v1/curves", get(curves))
        .route("/api/v1/workers", get(workers))
        .route(commands::PATH, post(command).layer(DefaultBodyLimit::max(commands::MAX_BYTES)))
        .route("/report.html", get(report))
        .route("/colours.css", get(async || with_type("text/css; charset=utf-8", palette::style())))
        .route("/metrics", get(prometheus))
        .route("/healthz", get(async move || alive(join_at)))
        .route("/readyz", get(ready));
    for file in page::FILES {
        router = router.route(file.0, get(async move || page::response(file)));
    }
    let missing = async || {
        Problem::new(StatusCode::NOT_FOUND, "there is nothing here").hint("the dashboard is at /")
    };
    router
        .fallback(missing)
        .with_state(stage)
        .layer(middleware::from_fn(etag::spare))
        .layer(middleware::from_fn_with_state(Arc::new(guard), check))
        .layer(middleware::map_response_with_state((policy, frames.is_empty()), restrict))
}

/// Asks the guard, and then the gate for a guest's connection.
async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let local = head.extensions.get().map(|Local(address)| *address);
    if let Err(problem) = guard.check(&head, local) {
        if guard::is_guess(&problem, &head) {
            sleep(GUESS).await;
        }
        let visitor = head.extensions.get::<Visitor>().map(|visitor| visitor.address);
        guard.log(visitor, &problem);
        return problem.into_response();
    }
    // Probes stay strangers.
    if let Some(visitor) = head.extensions.get::<Visitor>()
        && !guard::is_open(head.uri.path())
        && !visitor.admit()
    {
        let problem =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many people are looking on");
        return problem
            .header(header::CONNECTION, "close")
            .header(header::RETRY_AFTER, "10")
            .into_response();
    }
    let late =
        || Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("no answer within {ANSWER:?}"));
    timeout(ANSWER, next.run(Request::from_parts(head, body)))
        .await
        .unwrap_or_else(|_| late().into_response())
}

/// Lets browsers show an answer on this page, and nothing else.
async fn restrict(
    State((policy, alone)): State<(HeaderValue, bool)>,
    mut response: Response,
) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    // This header cannot list pages, unlike the policy.
    if alone {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) type Answer = Result<Response, Problem>;

fn with_type(content_type: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}

fn text(text: &'static str) -> Response {
    with_type("text/plain; charset=utf-8", text)
}

pub(super) fn json(value: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(value).map_err(|error| internal(&error))?;
    Ok(with_type("application/json", text))
}

/// The log says what went wrong, and the answer does not.
fn internal(error: &dyn std::error::Error) -> Problem {
    warn!("a request for the dashboard failed: {error}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "this cannot be answered now")
        .hint("the coordinator's log says why")
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLong(problem) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, problem.what).hint(problem.hint)
            }
            ReadError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                .hint("try again later"),
            ReadError::Sqlite { .. } => internal(&error),
        }
    }
}

async fn command(State(app): Shared, body: Result<Bytes, BytesRejection>) -> Answer {
    json(&commands::bring(app.commander.as_ref(), body).await?)
}

async fn sweep(State(app): Shared, RawQuery(asked): RawQuery) -> Answer {
    query::nothing(asked.as_deref())?;
    json(&SweepView::new(&app, &app.snapshot()))
}

async fn answer(State(app): Shared, RawQuery(asked): RawQuery) -> Answer {
    query::nothing(asked.as_deref())?;
    let summary = app.summary.get(&app.reader).await?;
    let (selection, names) = (summary.selection, names(&summary));
    let cells = app.axes.cells().collect();
    json(&AnswerView { selection, names, cells, answer: &summary.answer })
}

async fn cells(State(app): Shared, RawQuery(asked): RawQuery) -> Answer {
    let page = query::page(asked.as_deref())?;
    let summary = app.summary.get(&app.reader).await?;
    // Both have the same cells in the same order.
    let cells = app.axes.cells().zip(summary.cells());
    let cells = cells.skip(page.offset as usize).take(page.limit as usize);
    let view = |(id, cell)| CellView { id, axes: app.axes.values_of(id), cell };
    let items = cells.map(view).collect();
    let list = ListView { total: summary.cells().len() as i64, page, items };
    json(&CellsView { selection: summary.selection, legend: legend(&summary), list })
}

async fn trials(State(app): Shared, RawQuery(asked): RawQuery) -> Answer {
    let Trials { choice, page, .. } = Trials::parse(asked.as_deref(), &app.axes)?;
    let (total, lines) =
        app.reader.read(move |transaction| live::trials(transaction, &choice, page)).await?;
    let snapshot = app.snapshot();
    let items = lines.into_iter().map(|line| TrialView::new(line, &app.axes, &snapshot)).collect();
    json(&ListView { total, page, items })
}

fn trial_id(text: InPath<String>) -> Result<TrialId, Problem> {
    query::trial_id(&text.map(|Path(text)| text).unwrap_or_default())
}

fn no_trial() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such trial in this grid")
        .hint("/api/v1/trials has all")
}

async fn trial(State(app): Shared, id: InPath<String>, RawQuery(asked): RawQuery) -> Answer {
    query::nothing(asked.as_deref())?;
    let id = trial_id(id)?;
    let found = app.reader.read(move |transaction| live::trial(transaction, id)).await?;
    let found = found.ok_or_else(no_trial)?;
    json(&TrialDetails::new(found, &app, &app.snapshot()).map_err(|error| internal(&error))?)
}

async fn points(State(app): Shared, id: InPath<String>, RawQuery(asked): RawQuery) -> Answer {
    let ((metric, page), id) = (query::points(asked.as_deref())?, trial_id(id)?);
    let found =
        app.reader.read(move |transaction| live::points(transaction, id, metric, page)).await?;
    let (attempt, total, items) = found.ok_or_else(no_trial)?;
    json(&PointsView { attempt, list: ListView { total, page, items } })
}

async fn curves(State(app): Shared, RawQuery(asked): RawQuery) -> Answer {
    let (metric, cells) = query::curves(asked.as_deref())?;
    if !cells.iter().all(|cell| app.axes.has(*cell)) {
        let problem = Problem::new(StatusCode::NOT_FOUND, "there is no such cell in this grid");
        return Err(problem.hint("/api/v1/cells has their ids"));
    }
    let read = app.reader.read(move |transaction| mean_curves(transaction, metric, &cells));
    json(&CurvesView::new(metric, read.await?))
}

async fn report(State(app): Shared, RawQuery(asked): RawQuery) -> Answer {
    query::nothing(asked.as_deref())?;
    let path = app.place.path.join("report.html");
    let mut response = files::file(&path, "text/html; charset=utf-8").await?;
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(files::REPORT_POLICY));
    Ok(response)
}

async fn log(State(app): Shared, path: InPath<Pair>, RawQuery(asked): RawQuery) -> Answer {
    query::nothing(asked.as_deref())?;
    let (id, attempt) = path.map(|Path(parts)| parts).unwrap_or_default();
    let path = files::log_of(&app.place.path, query::trial_id(&id)?, query::attempt(&attempt)?);
    files::file(&path, "text/plain; charset=utf-8").await
}

async fn artifact(State(app): Shared, path: InPath<Pair>, RawQuery(asked): RawQuery) -> Answer {
    query::nothing(asked.as_deref())?;
    let (id, name) = path.map(|Path(parts)| parts).unwrap_or_default();
    files::artifact(&app.place.path, query::trial_id(&id)?, &name).await
}

async fn workers(State(app): Shared, RawQuery(asked): RawQuery) -> Answer {
    let page = query::page(asked.as_deref())?;
    let (total, lines) =
        app.reader.read(move |transaction| live::workers(transaction, page)).await?;
    let snapshot = app.snapshot();
    let items = lines.into_iter().map(|line| WorkerView::new(line, &snapshot)).collect();
    json(&ListView { total, page, items })
}

async fn prometheus(State(app): Shared) -> Answer {
    let Some(handle) = &app.prometheus else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "nothing is counted in this process"));
    };
    let waiting = app.queue.as_ref().map_or((0, 0), |queue| queue());
    metrics::show(&app.snapshot(), waiting);
    Ok(with_type("text/plain; version=0.0.4; charset=utf-8", handle.render()))
}

/// Has the address where workers join, for a worker that came here by mistake.
fn alive(join_at: Option<HeaderValue>) -> Response {
    let join_at = join_at.map(|join_at| (HeaderName::from_static(WORKERS_HEADER), join_at));
    (HeaderMap::from_iter(join_at), text("alive\n")).into_response()
}

async fn ready(State(app): Shared) -> Answer {
    let unavailable = |why: &str| Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why));
    match app.place.lost() {
        Some(what) => unavailable(&what),
        None if is_ready(&mut app.snapshots.clone()).await => Ok(text("ready\n")),
        None => unavailable("the coordinator's core does not answer"),
    }
}
