-- +goose Up
CREATE TABLE apps (
	tenant        TEXT NOT NULL,
	id            TEXT NOT NULL,
	name          TEXT NOT NULL,
	homepage      TEXT NOT NULL,
	type          TEXT NOT NULL,
	redirect_uris TEXT NOT NULL, -- JSON array
	scopes        TEXT NOT NULL,
	secrets       TEXT NOT NULL, -- JSON array of {id, hash, created_at}
	access_life   BIGINT NOT NULL,
	idle_life     BIGINT NOT NULL,
	total_life    BIGINT NOT NULL,
	disabled      BIGINT NOT NULL,
	origin        TEXT NOT NULL,
	created_at    BIGINT NOT NULL,
	PRIMARY KEY (tenant, id)
);

CREATE TABLE people (
	tenant        TEXT NOT NULL,
	id            TEXT NOT NULL,
	issuer        TEXT NOT NULL,
	subject       TEXT NOT NULL,
	name          TEXT NOT NULL,
	email         TEXT NOT NULL,
	database_user TEXT NOT NULL,
	disabled      BIGINT NOT NULL,
	created_at    BIGINT NOT NULL,
	seen_at       BIGINT NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX people_by_subject ON people (tenant, issuer, subject);
-- Two people must never be one database user.
CREATE UNIQUE INDEX people_by_database_user ON people (tenant, database_user);

CREATE TABLE grants (
	tenant      TEXT NOT NULL,
	id          TEXT NOT NULL,
	app_id      TEXT NOT NULL,
	person_id   TEXT NOT NULL,
	warehouse   TEXT NOT NULL,
	scopes      TEXT NOT NULL,
	limits      TEXT NOT NULL, -- JSON
	created_at  BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL,
	revoked_at  BIGINT NOT NULL,
	revoked_why TEXT NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE INDEX grants_by_person ON grants (tenant, person_id);
CREATE INDEX grants_by_app ON grants (tenant, app_id);
CREATE INDEX grants_by_expiry ON grants (expires_at);

CREATE TABLE codes (
	tenant       TEXT NOT NULL,
	hash         BLOB NOT NULL,
	grant_id     TEXT NOT NULL,
	app_id       TEXT NOT NULL,
	redirect_uri TEXT NOT NULL,
	challenge    TEXT NOT NULL,
	nonce        TEXT NOT NULL,
	scopes       TEXT NOT NULL,
	auth_time    BIGINT NOT NULL,
	created_at   BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL,
	redeemed_at  BIGINT NOT NULL,
	PRIMARY KEY (tenant, hash)
);
CREATE INDEX codes_by_expiry ON codes (expires_at);

CREATE TABLE access_tokens (
	tenant     TEXT NOT NULL,
	hash       BLOB NOT NULL,
	grant_id   TEXT NOT NULL,
	family_id  TEXT NOT NULL,
	scopes     TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	revoked_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, hash)
);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);
CREATE INDEX access_tokens_by_grant ON access_tokens (tenant, grant_id);

CREATE TABLE families (
	tenant       TEXT NOT NULL,
	id           TEXT NOT NULL,
	grant_id     TEXT NOT NULL,
	app_id       TEXT NOT NULL,
	scopes       TEXT NOT NULL,
	generation   BIGINT NOT NULL,
	current_hash BLOB NOT NULL,
	previous     BLOB NOT NULL,
	key_id       TEXT NOT NULL,
	rotated_at   BIGINT NOT NULL,
	created_at   BIGINT NOT NULL,
	idle_until   BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL,
	revoked_at   BIGINT NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE INDEX families_by_expiry ON families (expires_at);
CREATE INDEX families_by_grant ON families (tenant, grant_id);

-- Every generation's hash is kept until its family expires, so that an old token is known.
CREATE TABLE refresh_tokens (
	tenant     TEXT NOT NULL,
	hash       BLOB NOT NULL,
	family_id  TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, hash)
);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE sessions (
	id         TEXT NOT NULL PRIMARY KEY,
	data       BLOB NOT NULL,
	expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE statements (
	tenant      TEXT NOT NULL,
	id          TEXT NOT NULL,
	grant_id    TEXT NOT NULL,
	person_id   TEXT NOT NULL,
	app_id      TEXT NOT NULL,
	warehouse   TEXT NOT NULL,
	remote_id   TEXT NOT NULL,
	request_id  TEXT NOT NULL,
	fingerprint BLOB NOT NULL,
	max_rows    BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL,
	canceled_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX statements_by_request ON statements (tenant, grant_id, request_id) WHERE request_id <> '';
CREATE INDEX statements_by_expiry ON statements (expires_at);
