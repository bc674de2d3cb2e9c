//! The gRPC contract between Parlor's programs: code generated from `proto/**/*.proto`, nothing else.
#![expect(missing_docs, clippy::pedantic, reason = "generated code; the .proto files carry the documentation")]

/// Calls of chat-service.
pub mod chat {
    /// `parlor.chat.v1`: `RoomAdmin` and `Messages`.
    pub mod v1 {
        tonic::include_proto!("parlor.chat.v1");
    }
}

/// Calls of user-service.
pub mod users {
    /// `parlor.users.v1`: `Users`.
    pub mod v1 {
        tonic::include_proto!("parlor.users.v1");
    }
}

/// The encoded `FileDescriptorSet` of all Parlor protos, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/parlor.bin"));
