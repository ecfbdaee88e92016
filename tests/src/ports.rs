//! Ports that stay a test's own while nobody listens there.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Systems give higher ones to who asks for any: from 32,768 on, or from 49,152.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// An address on this machine at which nobody listens, and which nobody gets by asking for any port: what listens there can be
/// ended and started again.
///
/// # Panics
/// If all are taken.
pub fn address() -> String {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Other programs with tests begin elsewhere.
    let next =
        || FIRST + (process::id().wrapping_mul(61) + GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
    let free = (0..COUNT).map(|_| next()).find_map(|port| {
        let address = (Ipv4Addr::LOCALHOST, u16::try_from(port).ok()?);
        TcpListener::bind(address).is_ok().then(|| format!("127.0.0.1:{port}"))
    });
    free.expect("a port is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same_and_each_is_free() {
        let (one, other) = (address(), address());
        assert_ne!(one, other);
        assert!([one, other].iter().all(|address| TcpListener::bind(address).is_ok()));
    }
}
