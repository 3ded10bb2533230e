//! Makes the projections anew from the entries and holds them against those there; verifies the signatures kept beside them.

use std::collections::HashMap;

use certs::{Issuer, PublicKey, SignatureAlgorithm, TbsFields};
use ledger::Hash;
use ledger::bundle::Contents;
use ledger::checkpoint::Checkpoint;
use ledger::entry::entry::Kind;
use ledger::note::Note;
use ledger::tree::Edge;
use ledger::{entry, leaf_hash};
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use super::{DatabaseError, JournalError, projection};

/// What a rebuild found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Rebuilt {
    /// Entries read.
    pub entries: u64,
    /// Signatures verified, each with the key that its entry names.
    pub signatures: u64,
    /// Root of the tree made from them, hexadecimal. It is the journal's.
    pub root: String,
    /// Tables that follow from the entries, with their rows.
    pub tables: Vec<(&'static str, u64)>,
    /// Tables that were not as the entries say.
    pub differing: Vec<&'static str>,
    /// Whether the new ones were put in their place.
    pub replaced: bool,
}

pub(super) fn rebuild(connection: &Connection, edge: &Edge, replace: bool) -> Result<Rebuilt, JournalError> {
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(projection::SCHEMA)?;
    fresh.execute_batch("BEGIN")?;
    let (root, signatures) = replay(connection, &fresh)?;
    if root != edge.root() {
        return Err(JournalError::Corrupt(format!(
            "its entries make the root {root}, its tiles {}",
            edge.root()
        )));
    }
    let (mut tables, mut differing) = (Vec::new(), Vec::new());
    for table in projection::AUTHORITY.into_iter().chain(projection::BULK) {
        let made = rows(&fresh, table)?;
        tables.push((table, made.len() as u64));
        // One that holds what cannot be read is made anew, too.
        match rows(connection, table) {
            Ok(kept) if kept == made => {}
            // A value of another type: the file itself is sound.
            Err(JournalError::Database(DatabaseError(error))) if error.sqlite_error_code().is_some() => {
                return Err(error.into());
            }
            _ => differing.push(table),
        }
    }
    if replace && !differing.is_empty() {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for table in &differing {
            put(connection, table, &rows(&fresh, table)?)?;
        }
        connection.execute_batch("COMMIT")?;
    }
    // How much the newest checkpoint covers stands beside its note, too.
    let size = connection.query_row("SELECT size, note FROM checkpoint", [], |row| {
        Ok((row.get::<_, i64>(0).ok(), row.get::<_, String>(1)?))
    });
    if let Some((size, note)) = size.optional()?
        && let Some(checkpoint) = Checkpoint::claimed(note.as_bytes())
        && size.and_then(|size| u64::try_from(size).ok()) != Some(checkpoint.size)
    {
        differing.push("checkpoint");
        if replace {
            connection.execute("UPDATE checkpoint SET size = ?1", [checkpoint.size])?;
        }
    }
    let replaced = replace && !differing.is_empty();
    Ok(Rebuilt { entries: edge.size(), signatures, root: root.to_string(), tables, differing, replaced })
}

/// Reads every entry strictly, hashes it into a tree of its own, applies it, and verifies its signature: the root, and how many those were.
fn replay(connection: &Connection, fresh: &Connection) -> Result<(Hash, u64), JournalError> {
    let corrupt = |index: u64, what: String| JournalError::Corrupt(format!("entry {index}: {what}"));
    let (mut tree, mut signers) = (Edge::new(), Signers::default());
    let mut statement = connection.prepare("SELECT idx, leaf_hash, body FROM entry ORDER BY idx")?;
    let mut entries = statement.query([])?;
    while let Some(row) = entries.next()? {
        let (index, stored, body): (u64, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let leaf = leaf_hash(&body);
        if index != tree.size() || stored != leaf.as_bytes() {
            return Err(corrupt(index, "not where its index or leaf hash says".into()));
        }
        let record = entry::decode(&body).map_err(|error| corrupt(index, error.to_string()))?;
        tree.append(leaf);
        projection::apply(fresh, index, &record)?;
        signers.verify(connection, index, record.kind.as_ref()).map_err(|what| corrupt(index, what))?;
    }
    Ok((tree.root(), signers.verified))
}

/// The CA keys met so far, by the hash of their SubjectPublicKeyInfo.
#[derive(Default)]
pub(super) struct Signers {
    keys: HashMap<Vec<u8>, PublicKey>,
    /// Signatures verified.
    pub(super) verified: u64,
}

impl Signers {
    /// Verifies the signature of an entry's certificate, where it has been signed.
    pub(super) fn verify(
        &mut self,
        connection: &Connection,
        index: u64,
        kind: Option<&Kind>,
    ) -> Result<(), String> {
        let input;
        let (tbs, signer) = match kind {
            Some(Kind::CaCertificate(ca)) => {
                let spki = TbsFields::parse(&ca.tbs).map_err(|error| error.to_string())?.spki;
                let key = PublicKey::try_from(spki.as_slice()).map_err(|error| error.to_string())?;
                self.keys.insert(key.spki_sha256().to_vec(), key);
                (&ca.tbs, &ca.signer_spki_sha256)
            }
            Some(Kind::Issuance(issuance)) => (&issuance.tbs, &issuance.issuer_spki_sha256),
            // A root that no ceremony of this cell made is known by the bundles that officers published.
            Some(Kind::Bundle(bundle)) => {
                let contents = Note::parse(&bundle.note).ok().and_then(|note| Contents::read(&note).ok());
                let anchors = contents.map(|contents| contents.anchors).unwrap_or_default();
                for anchor in anchors.iter().filter_map(|der| Issuer::parse(der).ok()) {
                    self.keys.insert(anchor.spki_sha256().to_vec(), anchor.public_key().clone());
                }
                return Ok(());
            }
            // Those that a newer one replaced are let go; the entry has the hash of the others.
            Some(Kind::Crl(crl)) => match crl_input(connection, index)? {
                None => return Ok(()),
                Some(tbs) if Sha256::digest(&tbs).as_slice() != crl.tbs_sha256 => {
                    return Err("the CRL beside it is another".into());
                }
                Some(tbs) => {
                    input = tbs;
                    (&input, &crl.issuer_spki_sha256)
                }
            },
            _ => return Ok(()),
        };
        let kept: Option<(Vec<u8>, Vec<u8>)> = connection
            .prepare_cached("SELECT signature, certificate_sha256 FROM signature WHERE idx = ?1")
            .and_then(|mut statement| {
                statement.query_row([index], |row| Ok((row.get(0)?, row.get(1)?))).optional()
            })
            .map_err(|error| error.to_string())?;
        let Some((signature, sha256)) = kept else { return Ok(()) };
        let key = self.keys.get(signer).ok_or("signed by a key that is no CA's")?;
        let algorithm = SignatureAlgorithm::of(key.kind());
        algorithm.verify_by(key, tbs, &signature).map_err(|_| "its signature does not verify")?;
        if Sha256::digest(certs::compose::join(tbs, algorithm, &signature)).as_slice() != sha256 {
            return Err("the hash of its certificate is another".into());
        }
        self.verified += 1;
        Ok(())
    }
}

fn crl_input(connection: &Connection, index: u64) -> Result<Option<Vec<u8>>, String> {
    connection
        .query_row("SELECT tbs FROM crl_input WHERE idx = ?1", [index], |row| row.get(0))
        .optional()
        .map_err(|error| error.to_string())
}

type Row = Vec<rusqlite::types::Value>;

pub(super) fn rows(connection: &Connection, table: &str) -> Result<Vec<Row>, JournalError> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2"))?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn put(connection: &Connection, table: &str, rows: &[Row]) -> Result<(), JournalError> {
    connection.execute(&format!("DELETE FROM {table}"), [])?;
    for row in rows {
        let places = vec!["?"; row.len()].join(", ");
        connection
            .prepare_cached(&format!("INSERT INTO {table} VALUES ({places})"))?
            .execute(rusqlite::params_from_iter(row))?;
    }
    Ok(())
}
