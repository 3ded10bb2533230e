-- The journal, format 1. `entry`, `tile`, `signature`, `checkpoint` are the record; every table below them is a projection of the
-- entries and can be made anew (`rootcellar ledger rebuild`).

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
CREATE TABLE charter (
    revision INTEGER PRIMARY KEY,
    idx      INTEGER NOT NULL,
    note     TEXT NOT NULL
);
CREATE TABLE bundle (
    number INTEGER PRIMARY KEY,
    idx    INTEGER NOT NULL,
    note   TEXT NOT NULL
);
-- CA certificates; `active` marks the issuer that signs.
CREATE TABLE ca (
    idx         INTEGER PRIMARY KEY,
    role        INTEGER NOT NULL,
    spki_sha256 BLOB NOT NULL,
    signer      BLOB NOT NULL,
    active      INTEGER NOT NULL DEFAULT 0
);
-- End-entity certificates. `previous` chains those of one subject, newest first, so that no index is needed.
CREATE TABLE certificate (
    idx        INTEGER PRIMARY KEY,
    serial     BLOB NOT NULL,
    subject    TEXT NOT NULL,
    issuer     BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    previous   INTEGER,
    abandoned  INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX certificate_serial ON certificate (serial);
-- The newest certificate of each subject: the only one that renews.
CREATE TABLE line (
    subject TEXT PRIMARY KEY,
    newest  INTEGER NOT NULL
) WITHOUT ROWID;
-- `idx` is the entry that created it: certificates from before belong to an agent of the same name that was deleted.
CREATE TABLE agent (
    id         TEXT PRIMARY KEY,
    idx        INTEGER NOT NULL,
    record     BLOB NOT NULL,
    owner      TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;
-- `idx` is the act that began its line: certificates from before are refused.
CREATE TABLE controller (
    name          TEXT PRIMARY KEY,
    idx           INTEGER NOT NULL,
    line_start_ms INTEGER NOT NULL,
    removed       INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
-- `grant` is a word of SQL.
CREATE TABLE granted (
    controller TEXT NOT NULL,
    name       TEXT NOT NULL,
    idx        INTEGER NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (controller, name)
) WITHOUT ROWID;
-- Entries that a controller caused under a grant within the hour of its newest one.
CREATE TABLE spent (
    controller TEXT NOT NULL,
    name       TEXT NOT NULL,
    hour       INTEGER NOT NULL,
    entries    INTEGER NOT NULL,
    PRIMARY KEY (controller, name)
) WITHOUT ROWID;
-- Which identity a public key belongs to. Written once for each key.
CREATE TABLE identity_key (
    spki_sha256 BLOB PRIMARY KEY,
    subject     TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE request (
    caller      TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    body_sha256 BLOB NOT NULL,
    idx         INTEGER NOT NULL,
    PRIMARY KEY (caller, request_id)
) WITHOUT ROWID;
-- Proposals carried out.
CREATE TABLE proposal (
    nonce BLOB PRIMARY KEY,
    idx   INTEGER NOT NULL
) WITHOUT ROWID;
