//! The options of access control, and the rule for addresses that other machines can reach.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::ensure;
use clap::{Args, value_parser};
use swfn_shared::{
    access::{Token, pair},
    problem,
};
use tracing::warn;

use crate::tls::{Tls, TlsFiles};

/// The options of a listener for people; one for workers has more.
#[derive(Debug, Args)]
pub struct DoorArguments {
    /// Present this certificate (PEM, with all between it and the root); clients then use https://
    #[arg(long, hide_short_help = true, value_name = "FILE", env = "SWFN_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Read the private key of the certificate from this PEM file
    #[arg(long, hide_short_help = true, value_name = "FILE", env = "SWFN_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Admit only clients that have the token in this file, of 32 characters or more [default: the
    /// environment variable SWFN_TOKEN]
    #[arg(long, hide_short_help = true, value_name = "FILE", env = "SWFN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Listen beyond this machine without encryption or authentication
    #[arg(long, hide_short_help = true)]
    insecure: bool,
}

#[derive(Debug, Args)]
pub struct AccessArguments {
    #[command(flatten)]
    pub door: DoorArguments,
    /// Admit only workers with a certificate that an authority in this file has signed (mutual
    /// TLS). It binds their ids and leases to their certificates
    #[arg(long, hide_short_help = true, value_name = "FILE", env = "SWFN_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,
    /// Admit so many connections of workers at a time; each takes an open file
    #[arg(long, hide_short_help = true, value_name = "N", default_value_t = 1024)]
    #[arg(value_parser = value_parser!(u32).range(1..=65_536))]
    pub max_connections: u32,
    /// Close a connection after so many seconds; the worker opens another and loses nothing
    #[arg(long, hide_short_help = true, value_name = "SECONDS", default_value_t = 3600)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub max_connection_age: u32,
}

/// The requirements of a listener for its clients.
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub tls: Option<Arc<Tls>>,
    pub token: Option<Token>,
    /// The file of the token, if it has one.
    pub token_file: Option<PathBuf>,
}

impl AccessArguments {
    /// Reads all files.
    pub fn read(&self) -> anyhow::Result<Access> {
        self.door.read(self.tls_client_ca.as_deref())
    }
}

impl DoorArguments {
    /// Reads all files. `clients`: the authorities of clients, if clients need certificates.
    pub fn read(&self, clients: Option<&Path>) -> anyhow::Result<Access> {
        let pair = pair(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        ensure!(
            pair.is_some() || clients.is_none(),
            problem!(
                "--tls-client-ca needs --tls-cert and --tls-key";
                "add them, or their variables SWFN_TLS_CERT and SWFN_TLS_KEY"
            )
        );
        let files = pair.map(|(certificate, key)| TlsFiles {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            clients: clients.map(Path::to_owned),
        });
        let tls = files.map(Tls::open).transpose()?.map(Arc::new);
        let token = Token::find(self.token_file.as_deref())?;
        Ok(Access { tls, token, token_file: self.token_file.clone() })
    }

    /// Refuses an address that other machines can reach, unless connections are encrypted and
    /// authenticated, or the user accepts the risk.
    pub fn check(&self, address: SocketAddr, access: &Access) -> anyhow::Result<()> {
        let (problem, hint) = match (&access.tls, &access.token) {
            _ if address.ip().is_loopback() => return Ok(()),
            (Some(_), Some(_)) => return Ok(()),
            (None, None) => {
                ("neither encrypted nor authenticated", "--tls-cert, --tls-key and --token-file")
            }
            (None, Some(_)) => ("not encrypted", "--tls-cert and --tls-key"),
            (Some(_), None) => ("not authenticated by a token", "--token-file"),
        };
        ensure!(
            self.insecure,
            problem!(
                "address `{address}` can be reached from other machines, and connections are {problem}";
                "add {hint} (`swfn-coordinator certs` makes the files), or listen on 127.0.0.1 and \
                 tunnel (`ssh -L`), or add --insecure on a network that you trust"
            )
        );
        warn!(
            %address,
            "connections from other machines are {problem}: any of them may take trials, report \
             results or read along"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        access: AccessArguments,
    }

    #[test]
    fn beyond_loopback_both_are_needed() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let pair = KeyPair::generate().unwrap();
        let signed =
            CertificateParams::new(vec!["host".to_owned()]).unwrap().self_signed(&pair).unwrap();
        std::fs::write(&certificate, signed.pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let files = TlsFiles { certificate, key, clients: None };
        let tls = || Some(Arc::new(Tls::open(files.clone()).unwrap()));
        let token = || Some(Token::random());
        let none = Access::default();
        let (both, encrypted, known) = (
            Access { tls: tls(), token: token(), token_file: None },
            Access { tls: tls(), ..Access::default() },
            Access { token: token(), ..Access::default() },
        );
        let check = |options: &[&str], address: &str, access: &Access| {
            let arguments = Program::parse_from([&["x"], options].concat()).access;
            arguments
                .door
                .check(address.parse().unwrap(), access)
                .map_err(|error| error.to_string())
        };
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            for access in [&none, &encrypted, &known, &both] {
                assert_eq!(check(&[], address, access), Ok(()), "{address}");
            }
        }
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(check(&[], address, &both), Ok(()), "{address}");
            for (access, problem, hint) in [
                (
                    &none,
                    "neither encrypted nor authenticated",
                    "--tls-cert, --tls-key and --token-file",
                ),
                (&encrypted, "not authenticated by a token", "add --token-file ("),
                (&known, "are not encrypted", "add --tls-cert and --tls-key ("),
            ] {
                let refused = check(&[], address, access).unwrap_err();
                assert!(refused.contains(&format!("`{address}`")), "{refused}");
                assert!(refused.contains(problem) && refused.contains(hint), "{refused}");
                assert_eq!(check(&["--insecure"], address, access), Ok(()));
            }
        }
    }
}
