//! What goes with an address.

use swfn_shared::access::{Authorities, Identity, Token};

/// What this worker shows, and whom it trusts.
#[derive(Debug, Default)]
pub struct Access {
    /// Whose certificate the coordinator must have.
    pub authorities: Option<Authorities>,
    /// This worker's own certificate.
    pub identity: Option<Identity>,
    /// What lets it in.
    pub token: Option<Token>,
}
