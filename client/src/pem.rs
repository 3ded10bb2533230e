//! Certificates as PEM (RFC 7468), in files and as text.

use std::path::Path;

use sys::files::{self, FileError};

/// The certificates in a PEM file, DER, in their order; or the one in a DER file.
///
/// # Errors
/// The file system's, or it holds none.
pub fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    let bytes = files::read(path)?;
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes]);
    }
    let blocks = ::pem::parse_many(&bytes).map_err(|error| FileError::malformed(path, error))?;
    let certificates: Vec<_> = blocks
        .into_iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .map(::pem::Pem::into_contents)
        .collect();
    if certificates.is_empty() {
        return Err(FileError::malformed(path, "it holds no certificate"));
    }
    Ok(certificates)
}

/// Certificates as PEM, one after the other.
pub fn certificates_pem(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| pem_of("CERTIFICATE", der)).collect()
}

/// DER as PEM under this label.
pub fn pem_of(label: &str, der: &[u8]) -> String {
    let config = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
    ::pem::encode_config(&::pem::Pem::new(label, der), config)
}
