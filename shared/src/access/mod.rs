//! Who may talk to whom: the bearer token, and the certificates and keys of TLS as they are read from files.
//!
//! Both sides read the same kinds of files and explain the same mistakes. What is done with them on a connection stands at each side.

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
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half("--tls-cert", "--tls-key")),
        (None, Some(_)) => Err(half("--tls-key", "--tls-cert")),
    }
}

fn half(given: &str, missing: &str) -> Problem {
    problem!(
        "{given} is given, and {missing} is not";
        "the variables SWFN_TLS_CERT and SWFN_TLS_KEY stand for them, too"
    )
}
