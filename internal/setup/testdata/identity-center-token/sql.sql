-- What the warehouse sales (workgroup sales, database dev) needs so that people reach it
-- through https://grants.example.com (chain identity_center).
-- Run it there as an administrator, statement by statement or as a whole. That something exists already
-- is an error that may be passed over.

-- The warehouse takes people of Identity Center. Where it does so already (SELECT * FROM
-- svv_identity_providers), leave this out.
CREATE IDENTITY PROVIDER "idc" TYPE AWSIDC
  NAMESPACE 'awsidc'
  APPLICATION_ARN 'arn:aws:sso::123456789012:application/ssoins-0000/apl-0000'
  IAM_ROLE 'arn:aws:iam::123456789012:role/shiftgrant-redshift'
  AUTO_CREATE_ROLES TRUE;

-- A role that may read, and nothing else.
CREATE ROLE shiftgrant_reader;
GRANT USAGE ON SCHEMA "sales" TO ROLE shiftgrant_reader;
GRANT SELECT FOR TABLES IN SCHEMA "sales" TO ROLE shiftgrant_reader;
GRANT USAGE ON SCHEMA "Odd ""name" TO ROLE shiftgrant_reader;
GRANT SELECT FOR TABLES IN SCHEMA "Odd ""name" TO ROLE shiftgrant_reader;

-- Redshift knows people by awsidc:, and their groups as roles. A group becomes a reader by its role.
CREATE ROLE "awsidc:analysts";
GRANT ROLE shiftgrant_reader TO ROLE "awsidc:analysts";

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
-- -- Take away what `shiftgrant setup sales --principal arn:aws:iam::123456789012:role/gateway --as sql` made in database dev.
--
-- -- Who came in, and the role that reads. Where another warehouse of the gateway leads into this database too,
-- -- leave that role, and what it may.
-- DROP ROLE "awsidc:analysts" FORCE;
-- REVOKE SELECT FOR TABLES IN SCHEMA "sales" FROM ROLE shiftgrant_reader;
-- REVOKE USAGE ON SCHEMA "sales" FROM ROLE shiftgrant_reader;
-- REVOKE SELECT FOR TABLES IN SCHEMA "Odd ""name" FROM ROLE shiftgrant_reader;
-- REVOKE USAGE ON SCHEMA "Odd ""name" FROM ROLE shiftgrant_reader;
-- DROP ROLE shiftgrant_reader FORCE;
--
-- -- Nobody comes by this identity provider any more; their database users go with it.
-- DROP IDENTITY PROVIDER "idc" CASCADE;
--
-- -- What Redshift gives to everybody, back as it was.
-- -- GRANT CREATE ON SCHEMA public TO PUBLIC;
-- -- GRANT TEMP ON DATABASE "dev" TO PUBLIC;
-- -- GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
