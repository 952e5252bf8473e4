-- A claim and a token have sixteen bytes. As two numbers, with an index on the first alone, a row of them takes 90 bytes
-- instead of 120. Nothing here is unique by itself any more: the node locks, looks and only then inserts, and what is asked
-- for by its first half is compared by both.
CREATE TABLE narrow_claims (
    high BIGINT NOT NULL,
    low  BIGINT NOT NULL,
    id   UUID NOT NULL
);
INSERT INTO narrow_claims (high, low, id)
    SELECT CAST(CAST('x' || encode(substr(claim, 1, 8), 'hex') AS BIT(64)) AS BIGINT),
           CAST(CAST('x' || encode(substr(claim, 9, 8), 'hex') AS BIT(64)) AS BIGINT),
           CAST(encode(id, 'hex') AS UUID)
    FROM claims;
DROP TABLE claims;
ALTER TABLE narrow_claims RENAME TO claims;
CREATE INDEX claims_by_high ON claims (high);

CREATE TABLE narrow_tokens (
    high BIGINT NOT NULL,
    low  BIGINT NOT NULL,
    id   UUID NOT NULL
);
INSERT INTO narrow_tokens (high, low, id)
    SELECT CAST(CAST('x' || encode(substr(token, 1, 8), 'hex') AS BIT(64)) AS BIGINT),
           CAST(CAST('x' || encode(substr(token, 9, 8), 'hex') AS BIT(64)) AS BIGINT),
           CAST(encode(id, 'hex') AS UUID)
    FROM spent_tokens;
DROP TABLE spent_tokens;
ALTER TABLE narrow_tokens RENAME TO spent_tokens;
CREATE INDEX spent_tokens_by_high ON spent_tokens (high);

-- The record decides whether it holds the digest, so the index need not repeat where it stands.
ALTER TABLE images DROP CONSTRAINT images_pkey;
CREATE INDEX images_by_prefix ON images (prefix);

-- Subtrees of fewer than 128 leaves are computed from the blocks: most of them stand in one.
DELETE FROM nodes WHERE level < 7;
