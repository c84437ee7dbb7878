-- A gateway that does not know this step yet does not look at it.

-- +goose Up
-- Devices that wait for a person to enter their code elsewhere (RFC 8628). What the person allows is
-- a grant with a code, as any other; the code's hash is then the device's.
CREATE TABLE devices (
    tenant TEXT NOT NULL,
    hash BYTEA NOT NULL,
    user_code_hash BYTEA NOT NULL,
    app_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    warehouse TEXT NOT NULL,
    address TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    polled_at BIGINT NOT NULL,
    pause BIGINT NOT NULL,
    answered_at BIGINT NOT NULL,
    denied BIGINT NOT NULL,
    PRIMARY KEY (tenant, hash)
);
CREATE UNIQUE INDEX devices_by_user_code ON devices (tenant, user_code_hash);
CREATE INDEX devices_by_end ON devices (expires_at);
