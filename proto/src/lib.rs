//! The wire: messages and service stubs generated from `swfn/v1/*.proto`.
//!
//! No logic lives here. Domain types and the conversions between both stand in `swfn-shared`; generated types travel no further
//! than that.

/// Messages as bytes, for whoever has no stream: fuzzing.
pub use prost::Message;

/// Version 1 of the protocol.
#[allow(missing_docs, unreachable_pub, clippy::all, rust_2018_idioms)]
pub mod v1 {
    tonic::include_proto!("swfn.v1");

    /// The encoded `FileDescriptorSet` of this package, which gRPC reflection serves.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swfn.v1.bin"));
}
