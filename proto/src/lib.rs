//! Messages and service stubs, generated from `swfn/v1/*.proto`.
//!
//! No logic lives here. `swfn-shared` converts the messages to domain types.

/// Messages as bytes, for fuzzing.
pub use prost::Message;

/// Version 1 of the protocol.
#[allow(missing_docs, unreachable_pub, clippy::all, rust_2018_idioms)]
pub mod v1 {
    tonic::include_proto!("swfn.v1");

    /// The encoded `FileDescriptorSet` of this package, which gRPC reflection serves.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swfn.v1.bin"));
}
