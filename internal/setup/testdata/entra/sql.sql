-- What the warehouse sales (sales-prod.abc123.eu-central-1.redshift.amazonaws.com, database dev) needs so that people reach it
-- through https://grants.example.com (chain entra).
-- Run it there as an administrator, statement by statement or as a whole. That something exists already
-- is an error that may be passed over.

-- The warehouse takes tokens of Microsoft Entra ID. client_secret is that of the application in Entra ID
-- by which Redshift reads people's groups; it is yours to fill in.
CREATE IDENTITY PROVIDER "entra" TYPE azure
  NAMESPACE 'aad'
  PARAMETERS '{"issuer":"https://example.okta.com/oauth2/default","client_id":"0oa1b2c3d4","client_secret":"<the client secret>","audience":["0oa1b2c3d4"]}';

-- A role that may read, and nothing else.
CREATE ROLE shiftgrant_reader;
GRANT USAGE ON SCHEMA "sales" TO ROLE shiftgrant_reader;
GRANT SELECT FOR TABLES IN SCHEMA "sales" TO ROLE shiftgrant_reader;
GRANT USAGE ON SCHEMA "Odd ""name" TO ROLE shiftgrant_reader;
GRANT SELECT FOR TABLES IN SCHEMA "Odd ""name" TO ROLE shiftgrant_reader;

-- Redshift knows people by aad:, and their groups as roles. A group becomes a reader by its role.
CREATE ROLE "aad:analysts";
GRANT ROLE shiftgrant_reader TO ROLE "aad:analysts";

-- What Redshift gives to everybody, and a reader does not need, is taken away. This holds for all users
-- of the database: whoever needs one of these back gets it by a GRANT of their own.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE TEMP ON DATABASE "dev" FROM PUBLIC;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA "sales" FROM PUBLIC;
REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA "Odd ""name" FROM PUBLIC;

-- Left to you, because others may live on it: objects in public are then for those whom you grant it,
-- and COPY, UNLOAD and external functions need a GRANT ASSUMEROLE (run it as a superuser).
-- REVOKE USAGE ON SCHEMA public FROM PUBLIC;
-- REVOKE ASSUMEROLE ON ALL FROM PUBLIC FOR ALL;

-- To undo it:
--
-- -- Take away what `shiftgrant setup sales --as sql` made in database dev.
--
-- -- Who came in, and the role that reads. Where another warehouse of the gateway leads into this database too,
-- -- leave that role, and what it may.
-- DROP ROLE "aad:analysts" FORCE;
-- REVOKE SELECT FOR TABLES IN SCHEMA "sales" FROM ROLE shiftgrant_reader;
-- REVOKE USAGE ON SCHEMA "sales" FROM ROLE shiftgrant_reader;
-- REVOKE SELECT FOR TABLES IN SCHEMA "Odd ""name" FROM ROLE shiftgrant_reader;
-- REVOKE USAGE ON SCHEMA "Odd ""name" FROM ROLE shiftgrant_reader;
-- DROP ROLE shiftgrant_reader FORCE;
--
-- -- Nobody comes by this identity provider any more; their database users go with it.
-- DROP IDENTITY PROVIDER "entra" CASCADE;
--
-- -- What Redshift gives to everybody, back as it was.
-- -- GRANT CREATE ON SCHEMA public TO PUBLIC;
-- -- GRANT TEMP ON DATABASE "dev" TO PUBLIC;
-- -- GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
