-- +goose Up
-- What gateways have open in warehouses, and what it takes to stop it: a gateway that dies leaves it
-- running. The row is alive for as long as its holder says so.
CREATE TABLE running (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    holder TEXT NOT NULL,
    person_id TEXT NOT NULL,
    warehouse TEXT NOT NULL,
    kind TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    alive_until BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX running_by_holder ON running (tenant, holder);
CREATE INDEX running_by_end ON running (tenant, alive_until);
