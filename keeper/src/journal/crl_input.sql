-- The exact input of recorded CRLs, by the index of the entry, which holds its hash. Those that a newer signed one replaced are let go.
CREATE TABLE crl_input (
    idx INTEGER PRIMARY KEY,
    tbs BLOB NOT NULL
);
