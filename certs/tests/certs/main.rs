//! Certificates and requests, judged by OpenSSL.

#[cfg(test)]
mod chain;
#[cfg(test)]
mod crl;
#[cfg(test)]
mod csr;
#[cfg(test)]
mod examine;
#[cfg(test)]
mod lint;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod summary;
#[cfg(test)]
mod support;
