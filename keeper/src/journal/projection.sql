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
-- End-entity certificates. `previous` chains those of one subject, newest first, so that no index is needed. `controller` is the one
-- whose grant covered it, where one did.
CREATE TABLE certificate (
    idx        INTEGER PRIMARY KEY,
    serial     BLOB NOT NULL,
    subject    TEXT NOT NULL,
    issuer     BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    previous    INTEGER,
    abandoned   INTEGER NOT NULL DEFAULT 0,
    controller  TEXT,
    recorded_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX certificate_serial ON certificate (serial);
-- Both columns grow: new rows go to the right end. For a revocation of all that lives of a controller.
CREATE INDEX certificate_controller ON certificate (controller, not_after);
-- The newest certificate of each subject: the only one that renews. `lifetime_secs` was authorised when the line began.
CREATE TABLE line (
    subject       TEXT PRIMARY KEY,
    newest        INTEGER NOT NULL,
    lifetime_secs INTEGER NOT NULL
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
-- Which identity a public key belongs to. Written once for each key.
CREATE TABLE identity_key (
    spki_sha256 BLOB PRIMARY KEY,
    subject     TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE request (
    caller        TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    fields_sha256 BLOB NOT NULL,
    idx           INTEGER NOT NULL,
    PRIMARY KEY (caller, request_id)
) WITHOUT ROWID;
-- Proposals carried out.
CREATE TABLE proposal (
    nonce BLOB PRIMARY KEY,
    idx   INTEGER NOT NULL
) WITHOUT ROWID;
-- At most one row: what officers stopped. Without a row nothing is.
CREATE TABLE freeze (
    one              INTEGER PRIMARY KEY CHECK (one = 1),
    frozen           INTEGER NOT NULL,
    -- No renewal before this time.
    stopped_until_ms INTEGER NOT NULL DEFAULT 0,
    -- When one officer alone stopped renewals last.
    alone_ms         INTEGER
);
-- Certificates revoked, with what a CRL says of them. `act` is the entry that revoked them.
CREATE TABLE revoked (
    idx       INTEGER PRIMARY KEY,
    serial    BLOB NOT NULL,
    issuer    BLOB NOT NULL,
    not_after INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    reason    INTEGER NOT NULL,
    act       INTEGER NOT NULL
);
-- Below which entry no certificate of an agent is left to revoke, for officers ('') or one controller: a revocation looks no further back.
CREATE TABLE agent_ended (
    subject    TEXT NOT NULL,
    controller TEXT NOT NULL,
    idx        INTEGER NOT NULL,
    PRIMARY KEY (subject, controller)
) WITHOUT ROWID;
CREATE TABLE crl (
    idx         INTEGER PRIMARY KEY,
    issuer      BLOB NOT NULL,
    number      INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    revoked     INTEGER NOT NULL,
    covers      INTEGER NOT NULL,
    UNIQUE (issuer, number)
);
-- Epochs of the log after the first, each with what it says of the one before: entries under its newest checkpoint that is known, and until
-- when certificates of the lost ones may live, in seconds since 1970.
CREATE TABLE epoch (
    number     INTEGER PRIMARY KEY,
    idx        INTEGER NOT NULL,
    origin     TEXT NOT NULL,
    lost_size  INTEGER NOT NULL,
    live_until INTEGER
);
-- Revocations of what was lost, repeated by officers: of certificates that the journal need not know. They stand on CRLs until `not_after`.
CREATE TABLE repeated (
    serial    BLOB PRIMARY KEY,
    issuer    BLOB NOT NULL,
    not_after INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    reason    INTEGER NOT NULL,
    act       INTEGER NOT NULL
) WITHOUT ROWID;
-- Custody manifests: the first is the founding one, the others are the keeper's.
CREATE TABLE custody (
    idx         INTEGER PRIMARY KEY,
    recorded_ms INTEGER NOT NULL
);
