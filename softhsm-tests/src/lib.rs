//! softhsm-tests
