-- A gateway that does not know this step yet keeps its record in its file alone.

-- +goose Up
-- Copies of the audit records of all gateways: each has a chain of its own.
CREATE TABLE audit (
    chain  TEXT   NOT NULL,
    number BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    kind   TEXT   NOT NULL,
    line   TEXT   NOT NULL, -- as it is in the file
    PRIMARY KEY (chain, number)
);
CREATE INDEX audit_by_time ON audit (at);

-- How far the copies of a chain go. It stays when they are swept.
CREATE TABLE audit_chains (
    chain TEXT   NOT NULL PRIMARY KEY,
    last  BIGINT NOT NULL,
    hash  TEXT   NOT NULL, -- of line last
    at    BIGINT NOT NULL
);
