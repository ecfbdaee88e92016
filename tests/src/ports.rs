//! Ports that stay free for a test while it has no listener there.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Systems assign ports above this range by themselves: from 32,768 on, or from 49,152.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// Returns an address on this machine that is free and that no system assigns by itself. So a test
/// can end its listener and start it again.
///
/// # Panics
/// If all are taken.
pub fn address() -> String {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Other test programs begin elsewhere.
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
    fn ports_are_different_and_free() {
        let (one, other) = (address(), address());
        assert_ne!(one, other);
        assert!([one, other].iter().all(|address| TcpListener::bind(address).is_ok()));
    }
}
