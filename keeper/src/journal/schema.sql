-- The journal. `entry`, `tile`, `signature`, `signed_request`, `crl_input`, `checkpoint` are the record; every other table is a projection
-- of the entries and can be made anew (`rootcellar ledger rebuild`).

CREATE TABLE meta (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    cell   TEXT NOT NULL,
    origin TEXT NOT NULL
);
-- The leaves: exact bytes, in order, never changed.
CREATE TABLE entry (
    idx       INTEGER PRIMARY KEY,
    leaf_hash BLOB NOT NULL CHECK (length(leaf_hash) = 32),
    body      BLOB NOT NULL CHECK (length(body) <= 65535)
);
-- Full tiles of the tree (c2sp.org/tlog-tiles) with their roots. Partial ones follow from leaf hashes and the tiles below.
CREATE TABLE tile (
    level  INTEGER NOT NULL,
    idx    INTEGER NOT NULL,
    hashes BLOB NOT NULL CHECK (length(hashes) = 8192),
    root   BLOB NOT NULL CHECK (length(root) = 32),
    PRIMARY KEY (level, idx)
) WITHOUT ROWID;
-- Signatures of recorded certificates, by the index of the entry. No part of an entry.
CREATE TABLE signature (
    idx                INTEGER PRIMARY KEY,
    signature          BLOB NOT NULL,
    certificate_sha256 BLOB NOT NULL CHECK (length(certificate_sha256) = 32)
);
-- The newest checkpoint.
CREATE TABLE checkpoint (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    note TEXT NOT NULL
);
-- Bodies of the requests that callers signed, by the index of the first entry that each led to; the entry has its SHA-256.
CREATE TABLE signed_request (
    idx  INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);
-- The exact input of recorded CRLs, by the index of the entry, which holds its hash. Those that a newer signed one replaced are removed.
CREATE TABLE crl_input (
    idx INTEGER PRIMARY KEY,
    tbs BLOB NOT NULL
);
