//! The probe of an orchestrator: gRPC health, as `grpc.health.v1` defines it.

use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Whether a service serves; `address` is host and port.
///
/// # Errors
/// With the server's code if it answers without a status.
///
/// # Panics
/// If no server answers.
pub fn serves(address: &str, service: &str) -> Result<bool, Code> {
    let ask = async {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .expect("a host and a port make a URL");
        let channel = endpoint.connect().await.unwrap_or_else(|error| panic!("{address}: {error}"));
        HealthClient::new(channel).check(HealthCheckRequest { service: service.to_owned() }).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let answer = runtime.block_on(ask).map_err(|status| status.code())?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}
