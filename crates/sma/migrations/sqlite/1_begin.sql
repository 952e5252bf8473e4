CREATE TABLE vault (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    salt BLOB NOT NULL,
    proof BLOB NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE key_tables (
    table_id BIGINT PRIMARY KEY,
    sealed BLOB NOT NULL
);
CREATE TABLE signing_keys (
    key_id BLOB PRIMARY KEY,
    purpose TEXT NOT NULL,
    certificate BLOB NOT NULL,
    sealed BLOB,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    retired_at BIGINT,
    distrusted_from BIGINT,
    mac BLOB NOT NULL
);
CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    serial TEXT NOT NULL UNIQUE,
    nuc_index BLOB NOT NULL UNIQUE,
    nuc_sealed BLOB NOT NULL,
    simulated_nuc BOOLEAN NOT NULL,
    table_a BIGINT NOT NULL,
    table_b BIGINT NOT NULL,
    table_c BIGINT NOT NULL,
    family TEXT NOT NULL,
    firmware TEXT,
    attested BOOLEAN NOT NULL,
    chip BLOB UNIQUE,
    binds_tokens BOOLEAN NOT NULL,
    certificate_serial BLOB,
    certificate_issuer BLOB,
    key_hash BLOB UNIQUE,
    issued_at BIGINT,
    former_serial BLOB,
    former_issuer BLOB,
    former_issued_at BIGINT,
    provisioned_at BIGINT NOT NULL,
    enrolled_by TEXT NOT NULL,
    mac BLOB NOT NULL
);
CREATE INDEX devices_by_family ON devices (family, id);
CREATE TABLE certificates (
    serial BLOB PRIMARY KEY,
    device BIGINT NOT NULL REFERENCES devices (id),
    issuer BLOB NOT NULL,
    key_hash BLOB NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    der BLOB NOT NULL
);
CREATE INDEX certificates_by_device ON certificates (device);
CREATE TABLE revocations (
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,
    from_time BIGINT NOT NULL,
    until_time BIGINT,
    reason TEXT NOT NULL,
    public_reason TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    lifted_at BIGINT,
    lifted_by TEXT,
    mac BLOB NOT NULL
);
CREATE TABLE operators (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    token_hash BLOB NOT NULL UNIQUE,
    roles TEXT NOT NULL,
    serials TEXT,
    cameras BIGINT,
    used BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    mac BLOB NOT NULL
);
CREATE TABLE row_sets (
    name TEXT PRIMARY KEY,
    mac BLOB NOT NULL
);
CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    content BLOB NOT NULL,
    link BLOB NOT NULL
);
CREATE INDEX audit_by_time ON audit (last_time);
CREATE TABLE audit_anchor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    link BLOB NOT NULL
);
CREATE TABLE hourly (
    hour BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (hour, outcome)
);
CREATE TABLE activity (
    device BIGINT NOT NULL,
    day BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (device, day)
);
CREATE TABLE flags (
    device BIGINT NOT NULL,
    day BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    ordinary DOUBLE PRECISION NOT NULL,
    reviewed_at BIGINT,
    reviewed_by TEXT,
    PRIMARY KEY (device, day)
);
CREATE TABLE epochs (
    family TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    statement BLOB NOT NULL,
    sealed BLOB,
    issued BIGINT NOT NULL,
    counted BLOB,
    mac BLOB NOT NULL,
    PRIMARY KEY (family, epoch)
);
CREATE TABLE epoch_withdrawals (
    family TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (family, epoch)
);
CREATE TABLE one_time_enrolments (
    device BIGINT PRIMARY KEY,
    attestation_key BLOB NOT NULL,
    ended_at BIGINT,
    reason TEXT,
    mac BLOB NOT NULL
);
CREATE TABLE one_time_batches (
    device BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    blinded BLOB NOT NULL,
    challenge BLOB NOT NULL,
    amount BIGINT NOT NULL,
    answered_at BIGINT,
    PRIMARY KEY (device, blinded)
);
