//! Proxies between worker and coordinator that damage a connection's bytes or its messages. They
//! count every fault.

pub mod messages;
pub mod mischief;
pub mod record;
pub mod tcp;
