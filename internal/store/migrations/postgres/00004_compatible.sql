-- A gateway that does not know this step yet does not look at it.

-- +goose Up
-- The oldest schema that a program must know to work on this one. A step that only adds leaves it
-- alone, and the version before goes on beside the new one. A step that takes away what an older
-- program uses raises it to the first schema whose programs do not.
CREATE TABLE schema_compatible (
    oldest BIGINT NOT NULL
);
INSERT INTO schema_compatible (oldest) VALUES (1);
