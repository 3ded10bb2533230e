//! What new keys signed to prove themselves, as the ledger holds it.

use certs::summary::tbs_of;
use data_encoding::BASE64;
use ledger::entry::Ceremony;
use ledger::note::Note;
use ledger::transcript::Transcript;
use sha2::{Digest, Sha256};

/// What the keys of a ceremony signed as proof: each certification request's info, and its SHA-256.
///
/// # Panics
/// The transcript is none.
pub fn signed_as_proof(ceremony: &Ceremony) -> Vec<Vec<u8>> {
    let note = Note::parse(&ceremony.transcript).expect("a note");
    let transcript = Transcript::read(&note).expect("a transcript");
    let requests = transcript.fields.iter().filter(|(key, _)| key == "csr");
    let infos = requests.map(|(_, csr)| {
        let der = BASE64.decode(csr.as_bytes()).expect("base64");
        tbs_of(&der).expect("a signed structure").to_vec()
    });
    infos.flat_map(|info| [Sha256::digest(&info).to_vec(), info]).collect()
}
