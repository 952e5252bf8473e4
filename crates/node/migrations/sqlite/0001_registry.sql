-- The chain: whoever can change these rows can at most break it visibly; `birthmark-node fsck` recomputes every hash.
CREATE TABLE blocks (
    height      INTEGER PRIMARY KEY,
    first_leaf  INTEGER NOT NULL,
    leaves      INTEGER NOT NULL,
    time_ms     INTEGER NOT NULL,
    body        BLOB NOT NULL,
    certificate BLOB NOT NULL,
    frontier    BLOB NOT NULL,
    checkpoint_lines BLOB
);
CREATE INDEX blocks_by_leaf ON blocks (first_leaf);

-- Everything below is rebuilt from the blocks by `birthmark-node reindex`.
CREATE TABLE transactions (
    hash       BLOB PRIMARY KEY,
    height     INTEGER NOT NULL,
    first_leaf INTEGER NOT NULL,
    leaves     INTEGER NOT NULL
) WITHOUT ROWID;

-- Blocks that hand over to other validators.
CREATE TABLE set_changes (
    height INTEGER PRIMARY KEY
);

-- Blocks that hold what authorities state about their epochs.
CREATE TABLE statements (
    height INTEGER PRIMARY KEY
);

-- The name of each one-time key that is spent, and the record that spends it.
CREATE TABLE one_time_keys (
    name BLOB PRIMARY KEY,
    leaf INTEGER NOT NULL
) WITHOUT ROWID;

-- The first eight bytes of an image digest, and which record holds it.
CREATE TABLE images (
    prefix INTEGER NOT NULL,
    leaf   INTEGER NOT NULL,
    PRIMARY KEY (prefix, leaf)
) WITHOUT ROWID;

-- The first eight bytes of an original's digest, and which record was edited from it.
CREATE TABLE edits (
    original INTEGER NOT NULL,
    leaf     INTEGER NOT NULL,
    PRIMARY KEY (original, leaf)
) WITHOUT ROWID;

-- Complete subtrees of at least 128 leaves: smaller ones are computed from the blocks, most of them stand in one.
CREATE TABLE nodes (
    level INTEGER NOT NULL,
    place INTEGER NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (level, place)
) WITHOUT ROWID;

-- Submissions and what became of them. `tx` and `place` say where a validated one stands. `kind` is 0 for those whose
-- signature was checked here, 1 for those that only their authority can check.
CREATE TABLE submissions (
    id          BLOB PRIMARY KEY,
    state       INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    authority   TEXT NOT NULL,
    reason      TEXT,
    tx          BLOB,
    place       INTEGER,
    received_at INTEGER NOT NULL,
    decided_at  INTEGER
);
CREATE INDEX submissions_by_age ON submissions (decided_at) WHERE decided_at IS NOT NULL;
CREATE INDEX refused_strangers ON submissions (decided_at) WHERE state = 2 AND kind = 1;

-- What still has to be asked about: first what was never asked (`retry_at` 0), then what the authority stumbled over. The
-- request holds what must be forgotten, so it is sealed under the key of an epoch, which lies outside the database and is
-- destroyed once everything of that epoch is decided.
CREATE TABLE waiting (
    seq       INTEGER PRIMARY KEY,
    id        BLOB NOT NULL,
    authority TEXT NOT NULL,
    kind      INTEGER NOT NULL,
    retry_at  INTEGER NOT NULL,
    tries     INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    request   BLOB NOT NULL
);
CREATE INDEX waiting_by_authority ON waiting (authority, retry_at, seq);

-- (digest, camera) pairs and tokens that are taken. Each is an HMAC under the validator's lookup key, which is a credential
-- and stands nowhere in the database: whoever reads all of it cannot tell which photos share a camera.
CREATE TABLE claims (
    claim BLOB PRIMARY KEY,
    id    BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE spent_tokens (
    token BLOB PRIMARY KEY,
    id    BLOB NOT NULL
) WITHOUT ROWID;

-- Transactions that wait for a block, this validator's and others'. `claims` and `tokens` are what their records took, to be given back if the transaction
-- is discarded; the evidence is sealed as waiting requests are.
-- Numbers are never used again, even after everything was decided: what came after the last one that was pushed to the
-- other validators is pushed next.
CREATE TABLE pool (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    hash     BLOB NOT NULL UNIQUE,
    submitter BLOB NOT NULL,
    records  INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    claims   BLOB NOT NULL,
    tokens   BLOB NOT NULL,
    body     BLOB NOT NULL,
    evidence BLOB NOT NULL
);

CREATE TABLE node_state (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
