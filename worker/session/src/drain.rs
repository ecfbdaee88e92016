//! A person's wish that workers leave, brought to the coordinator.

use anyhow::{Context as _, bail};
use swfn_proto::v1::{DrainWorkersReply, DrainWorkersRequest, coordinator_client::CoordinatorClient};
use swfn_shared::problem;
use tonic::Request;

use crate::address::Address;

/// Tells the workers whose ids begin so to finish the trials that they hold and to leave. Returns who was told.
///
/// # Errors
/// There is no such worker, the coordinator refuses, or it cannot be reached.
pub fn drain_workers(address: &Address, workers: Vec<String>, now: bool) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = workers.join("`, `");
    let reply = runtime.block_on(async {
        match ask(address, workers, now).await {
            Ok(reply) => Ok(reply),
            Err(error) => match address.probe.clone().ask(address.endpoint.uri()).await {
                Some(reason) => bail!("cannot reach the coordinator: {reason}"),
                None => Err(error),
            },
        }
    })?;
    let DrainWorkersReply { drained, others } = reply;
    if drained.is_empty() {
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        bail!(problem!(
            "no connected worker has an id that begins with `{asked}`";
            "those that are connected: {others}"
        ));
    }
    Ok(drained)
}

async fn ask(address: &Address, workers: Vec<String>, now: bool) -> anyhow::Result<DrainWorkersReply> {
    let endpoint = &address.endpoint;
    let channel = endpoint.connect().await.with_context(|| format!("cannot reach `{}`", endpoint.uri()))?;
    let mut request = Request::new(DrainWorkersRequest { workers, now });
    address.authorize(&mut request);
    let call = CoordinatorClient::new(channel).drain_workers(request).await;
    let reply = call.map_err(|status| anyhow::anyhow!("the coordinator refuses: {}", status.message()))?;
    Ok(reply.into_inner())
}
