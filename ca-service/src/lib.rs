//! ca-service
