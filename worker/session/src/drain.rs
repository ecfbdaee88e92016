//! The command that drains workers.

use anyhow::{Context as _, Error, anyhow, bail};
use swfn_proto::v1::{CommandRequest, coordinator_client::CoordinatorClient};
use swfn_shared::person::{CommandOutcome, Drain, PersonCommand};
use tonic::{Code, Request, Status};

use crate::address::Address;

/// Asks workers to finish their trials and leave; each of `workers` is the beginning of an id.
/// Returns the ids of the workers that were asked.
///
/// # Errors
/// There is no such worker, the coordinator refuses, or it cannot be reached.
pub fn drain_workers(
    address: &Address,
    workers: Vec<String>,
    now: bool,
) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let command = PersonCommand::Drain(Drain { workers, now });
    let done = runtime.block_on(async {
        match send(address, &command).await {
            Ok(done) => Ok(done),
            Err(error) => match address.probe.clone().ask(address.endpoint.uri()).await {
                Some(problem) => Err(Error::from(problem).context("cannot reach the coordinator")),
                None => Err(error),
            },
        }
    })?;
    match done {
        CommandOutcome::Drained { workers } => Ok(workers),
        CommandOutcome::Retried { .. } => bail!("the coordinator answers another command: {done}"),
    }
}

async fn send(address: &Address, command: &PersonCommand) -> anyhow::Result<CommandOutcome> {
    let endpoint = &address.endpoint;
    let channel =
        endpoint.connect().await.with_context(|| format!("cannot reach `{}`", endpoint.uri()))?;
    let mut request = Request::new(CommandRequest { command: command.json() });
    address.authorize(&mut request);
    let call = CoordinatorClient::new(channel).command(request).await;
    let refused = |status: Status| match status.code() {
        // There is no such worker.
        Code::NotFound => anyhow!("{}", status.message()),
        _ => anyhow!("the coordinator refuses: {}", status.message()),
    };
    let reply = call.map_err(refused)?.into_inner();
    CommandOutcome::parse(&reply.done)
        .context("the coordinator's answer is unknown to this program")
}
