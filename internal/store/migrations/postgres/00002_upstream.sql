-- A gateway that does not know this step yet goes on beside one that does: what it inserts gets
-- the defaults.

-- +goose Up
-- Browser sessions that began before this are over.
ALTER TABLE people ADD COLUMN signed_out_at BIGINT NOT NULL DEFAULT 0;

-- What a person's identity provider gave us to ask about them again: one refresh token each,
-- sealed. Whoever asks holds the lease, and writes that they ask before they do.
CREATE TABLE upstream_tokens (
    tenant        TEXT    NOT NULL,
    person_id     TEXT    NOT NULL,
    upstream      TEXT    NOT NULL, -- its name in the configuration
    generation    BIGINT  NOT NULL, -- of the token: up by one with each answer
    sealed        BYTEA   NOT NULL, -- for tenant, person, upstream and generation
    key_version   BIGINT  NOT NULL, -- of the key that sealed it
    checked_at    BIGINT  NOT NULL, -- when the upstream last vouched for the person
    failing_since BIGINT  NOT NULL, -- the first of the calls since then that came to nothing
    retry_at      BIGINT  NOT NULL, -- nobody asks before
    fence         BIGINT  NOT NULL, -- up by one with each lease and each sign-in: who holds a lower one writes nothing
    holder        TEXT    NOT NULL,
    lease_until   BIGINT  NOT NULL,
    attempt_at    BIGINT  NOT NULL, -- a call with this token has begun, and nobody has written how it ended
    ended_at      BIGINT  NOT NULL, -- the upstream has said no: the person must sign in again
    PRIMARY KEY (tenant, person_id)
);
CREATE INDEX upstream_tokens_by_key ON upstream_tokens (key_version);
