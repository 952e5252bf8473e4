-- A backup reads every number as 64 bits.
ALTER TABLE vault ALTER COLUMN id TYPE BIGINT;
ALTER TABLE audit_anchor ALTER COLUMN id TYPE BIGINT;
