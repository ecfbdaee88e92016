//! Who may talk to whom: the bearer token, and the certificates and keys of TLS as they are read from files.
//!
//! Both sides read the same kinds of files and explain the same mistakes. What is done with them on a connection stands at each side.

use std::path::Path;

mod pem;
mod token;

pub use pem::{Authorities, Identity, PemError};
pub use token::{TOKEN_VARIABLE, Token, TokenError};

/// A certificate and its key, or neither.
///
/// # Errors
/// One is given without the other.
pub fn pair<'p>(
    certificate: Option<&'p Path>,
    key: Option<&'p Path>,
) -> Result<Option<(&'p Path, &'p Path)>, HalfAPair> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(HalfAPair { given: "--tls-cert", missing: "--tls-key" }),
        (None, Some(_)) => Err(HalfAPair { given: "--tls-key", missing: "--tls-cert" }),
    }
}

/// A certificate without its key, or the other way round.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given} is given, and {missing} is not\nhint: the variables SWFN_TLS_CERT and SWFN_TLS_KEY stand for them, too"
)]
pub struct HalfAPair {
    given: &'static str,
    missing: &'static str,
}
