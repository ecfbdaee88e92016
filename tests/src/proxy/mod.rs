//! Between worker and coordinator: what a network does to bytes, and what a bad one would do to messages. Every fault is counted.

pub mod messages;
pub mod mischief;
pub mod record;
pub mod tcp;
