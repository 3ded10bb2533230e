//! hsm-config
