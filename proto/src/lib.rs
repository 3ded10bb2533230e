//! The contract of Rootcellar: messages and services of `rootcellar.v1`, and the private door between front and keeper.
//!
//! Does not: decide or check anything. The sources are `rootcellar/**/*.proto`; the code in `gen/` is checked in, and a test
//! proves it current.

pub mod strict;

/// Descriptors of `rootcellar.v1` and its imports, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/rootcellar.v1.bin");

/// Domain of `google.rpc.ErrorInfo` in every error of this service.
pub const ERROR_DOMAIN: &str = "rootcellar";

#[allow(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    missing_docs,
    unreachable_pub,
    reason = "generated code"
)]
mod rootcellar {
    pub mod v1 {
        include!("gen/rootcellar.v1.rs");
    }
    pub mod keeper {
        pub mod v1 {
            include!("gen/rootcellar.keeper.v1.rs");
        }
    }
}

pub use rootcellar::keeper::v1 as door;
pub use rootcellar::v1;

impl v1::Reason {
    /// The code as it stands in `ErrorInfo.reason`: without the prefix `REASON_`.
    pub fn code(self) -> &'static str {
        self.as_str_name().trim_start_matches("REASON_")
    }
}
