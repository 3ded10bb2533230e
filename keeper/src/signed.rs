//! Requests that their callers signed (`rootcellar.v1.RequestSignature`).
//!
//! - `request`: a request's body, decoded strictly from the bytes that were signed
//! - `verify`: the signature over it, by the key of the certificate that the caller presented
//!
//! Does not: look up whether the caller is still registered, or decide anything. That is done for every request, signed or not.

mod request;
mod verify;

pub use request::{NotARequest, Request};
pub(crate) use verify::{SignedRequest, Verifier};
