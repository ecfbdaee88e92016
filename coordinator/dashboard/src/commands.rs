//! Commands of people from the page: brought to the engine of this process, if people may.

use std::pin::Pin;

use axum::{body::Bytes, extract::rejection::BytesRejection, http::StatusCode};
use swfn_shared::person::{CommandOutcome, PersonCommand, Refusal};

use super::problem::Problem;

pub(crate) const PATH: &str = "/api/v1/commands";

pub(crate) const MAX_BYTES: usize = 64 << 10;

type Done = Pin<Box<dyn Future<Output = Option<Result<CommandOutcome, Refusal>>> + Send>>;

/// Brings a command to the engine, and its result back; `None` if the engine is gone.
pub type Commander = Box<dyn Fn(PersonCommand) -> Done + Send + Sync>;

/// Carries out a command that the guard has let pass.
pub(crate) async fn bring(
    commander: Option<&Commander>,
    body: Result<Bytes, BytesRejection>,
) -> Result<CommandOutcome, Problem> {
    let Some(bring) = commander else {
        let problem = Problem::new(StatusCode::FORBIDDEN, "nothing can be commanded here");
        return Err(problem.hint(
            "a running coordinator takes commands where it asks for a token (--http-token), or \
             where nobody else uses its machine",
        ));
    };
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let command = PersonCommand::parse(&body).map_err(refused)?;
    let gone = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the coordinator is stopping");
    bring(command).await.ok_or_else(gone)?.map_err(refused)
}

fn refused(refusal: Refusal) -> Problem {
    let (status, problem) = match refusal {
        Refusal::Meaningless(problem) => (StatusCode::BAD_REQUEST, problem),
        Refusal::Missing(problem) => (StatusCode::NOT_FOUND, problem),
        Refusal::Foreign(problem) => (StatusCode::FORBIDDEN, problem),
    };
    Problem::new(status, problem.what).hint(problem.hint)
}
