-- Times are unix milliseconds, 0 for none. Hashes are SHA-256 of tokens; no token is stored.
--
-- What hangs below a grant is dead when the grant is: look-ups join the grant, so revoking is
-- the change of one row and cannot miss any. For the same reason what is below needs no
-- foreign key, nor an index for one to write at each refresh: without the grant it is found by
-- nobody, and it expires.

-- +goose Up
CREATE TABLE apps (
    tenant                 TEXT    NOT NULL,
    id                     TEXT    NOT NULL,
    name                   TEXT    NOT NULL,
    homepage               TEXT    NOT NULL,
    type                   TEXT    NOT NULL,
    redirect_uris          TEXT    NOT NULL, -- JSON
    scopes                 TEXT    NOT NULL, -- separated by spaces, here and everywhere
    access_token_lifetime  INTEGER NOT NULL, -- milliseconds, 0 for the gateway's default
    refresh_idle_lifetime  INTEGER NOT NULL,
    refresh_total_lifetime INTEGER NOT NULL,
    disabled               INTEGER NOT NULL,
    origin                 TEXT    NOT NULL,
    created_at             INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE app_secrets (
    tenant     TEXT    NOT NULL,
    app_id     TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, app_id, id),
    FOREIGN KEY (tenant, app_id) REFERENCES apps (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE people (
    tenant               TEXT    NOT NULL,
    id                   TEXT    NOT NULL,
    issuer               TEXT    NOT NULL,
    subject              TEXT    NOT NULL,
    name                 TEXT    NOT NULL,
    email                TEXT    NOT NULL,
    database_user        TEXT    NOT NULL,
    -- Redshift folds names to lower case: "Alice" and "alice" are one user there.
    database_user_folded TEXT    NOT NULL,
    disabled             INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    seen_at              INTEGER NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, issuer, subject),
    UNIQUE (tenant, database_user_folded)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    tenant      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    app_id      TEXT    NOT NULL, -- no foreign key: a grant outlives its app as revoked
    person_id   TEXT    NOT NULL,
    warehouse   TEXT    NOT NULL,
    scopes      TEXT    NOT NULL,
    limits      TEXT    NOT NULL, -- JSON, '' for none
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    revoked_at  INTEGER NOT NULL,
    revoked_why TEXT    NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, person_id) REFERENCES people (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_person ON grants (tenant, person_id, created_at);
CREATE INDEX grants_by_app ON grants (tenant, app_id);
CREATE INDEX grants_by_expiry ON grants (expires_at) WHERE expires_at > 0;
CREATE INDEX grants_by_revocation ON grants (revoked_at) WHERE revoked_at > 0;

CREATE TABLE codes (
    tenant       TEXT    NOT NULL,
    hash         BLOB    NOT NULL,
    grant_id     TEXT    NOT NULL,
    app_id       TEXT    NOT NULL,
    redirect_uri TEXT    NOT NULL,
    challenge    TEXT    NOT NULL,
    nonce        TEXT    NOT NULL,
    scopes       TEXT    NOT NULL,
    auth_time    INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    redeemed_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_by_expiry ON codes (expires_at);

CREATE TABLE families (
    tenant        TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    grant_id      TEXT    NOT NULL,
    app_id        TEXT    NOT NULL,
    scopes        TEXT    NOT NULL,
    generation    INTEGER NOT NULL,
    current_hash  BLOB    NOT NULL,
    previous_hash BLOB    NOT NULL,
    key_id        TEXT    NOT NULL,
    rotated_at    INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    idle_until    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX families_by_expiry ON families (expires_at);

-- Every generation of a family, so that an old token is recognised as used before.
CREATE TABLE refresh_tokens (
    tenant     TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    family_id  TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, -- the family's
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE access_tokens (
    tenant     TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    grant_id   TEXT    NOT NULL,
    family_id  TEXT    NOT NULL, -- '' for none
    scopes     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL, -- of this token alone
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

-- Browser sessions: sealed bytes under the hash of the cookie.
CREATE TABLE sessions (
    id         TEXT    NOT NULL PRIMARY KEY,
    data       BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE statements (
    tenant      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    grant_id    TEXT    NOT NULL,
    person_id   TEXT    NOT NULL,
    app_id      TEXT    NOT NULL,
    warehouse   TEXT    NOT NULL,
    remote_id   TEXT    NOT NULL, -- what the transport knows it by, '' before it was sent
    request_id  TEXT    NOT NULL, -- the app's, '' for none
    fingerprint BLOB    NOT NULL, -- of what was asked for
    max_rows    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    canceled_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX statements_by_request ON statements (tenant, grant_id, request_id) WHERE request_id <> '';
CREATE INDEX statements_by_expiry ON statements (expires_at);

-- One row that readiness writes, to know that writing works.
CREATE TABLE pulse (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;
INSERT INTO pulse (id, at) VALUES (1, 0);
