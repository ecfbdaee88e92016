//! Who may talk to whom: the bearer token, and the certificates and keys of TLS as they are read from files.
//!
//! Both sides read the same kinds of files and explain the same mistakes. What is done with them on a connection stands at each side.

mod pem;
mod token;

pub use pem::{Authorities, Identity, PemError};
pub use token::{TOKEN_VARIABLE, Token, TokenError};
