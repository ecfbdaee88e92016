//! The bearer token, and the certificates and keys of TLS, as both sides read them from files.
//!
//! Each side has its own code for connections.

use std::path::Path;

use crate::{problem, problem::Problem};

mod pem;
mod token;

pub use pem::{Authorities, Identity};
pub use token::{TOKEN_VARIABLE, Token};

/// A certificate and its key, or neither.
///
/// # Errors
/// One is given without the other.
pub fn pair<'p>(
    certificate: Option<&'p Path>,
    key: Option<&'p Path>,
) -> Result<Option<(&'p Path, &'p Path)>, Problem> {
    let (given, missing) = match (certificate, key) {
        (Some(certificate), Some(key)) => return Ok(Some((certificate, key))),
        (None, None) => return Ok(None),
        (Some(_), None) => ("--tls-cert", "--tls-key"),
        (None, Some(_)) => ("--tls-key", "--tls-cert"),
    };
    Err(problem!(
        "{given} is given, and {missing} is not";
        "give both; the variables SWFN_TLS_CERT and SWFN_TLS_KEY stand for them, too"
    ))
}
