//! The arguments about access to the coordinator. A token from the environment is inherited by device processes.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use swfn_session::{Access, Address};
use swfn_shared::access::{Authorities, Identity, Token, pair};

#[derive(Debug, Args, Serialize, Deserialize)]
pub(crate) struct AccessArguments {
    /// Address of the coordinator, such as host:7077, http://host:7077 or https://host:7077
    #[arg(
        long,
        value_name = "URL",
        env = "SWFN_COORDINATOR",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7077"
    )]
    coordinator: String,
    /// Authorities whose certificates the coordinator may have, as PEM; for https:// addresses
    #[arg(long, value_name = "FILE", env = "SWFN_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// Certificate of this worker, as PEM, for coordinators that demand one (mutual TLS)
    #[arg(long, value_name = "FILE", env = "SWFN_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its private key, as PEM
    #[arg(long, value_name = "FILE", env = "SWFN_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// File with the token that the coordinator demands [default: the environment variable SWFN_TOKEN]
    #[arg(long, value_name = "FILE", env = "SWFN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

impl AccessArguments {
    /// Where the coordinator is, and what it takes to get in.
    pub(crate) fn address(&self) -> anyhow::Result<Address> {
        Address::new(&self.coordinator, self.read()?)
    }

    /// Reads all files.
    fn read(&self) -> anyhow::Result<Access> {
        let authorities =
            self.tls_ca.as_deref().map(|path| Authorities::read(path, "--tls-ca")).transpose()?;
        let files = pair(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        let identity =
            files.map(|(certificate, key)| Identity::read(certificate, key)).transpose()?;
        Ok(Access { authorities, identity, token: Token::find(self.token_file.as_deref())? })
    }
}
