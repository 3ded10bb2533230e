-- The exact input of recorded CRLs, by the index of the entry, which holds its hash. Those that a newer signed one replaced are let go.
CREATE TABLE crl_input (
    idx INTEGER PRIMARY KEY,
    tbs BLOB NOT NULL
);
-- Every certificate recorded below this entry is signed or given up: a start looks for what a crash left from here on.
CREATE TABLE settled (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    idx INTEGER NOT NULL
);
