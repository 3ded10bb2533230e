//! End-to-end tests: one behaviour a file, judged by OpenSSL and webpki.
