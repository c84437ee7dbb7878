-- How an administrator of Redshift sets people up: identity providers, users, roles, and what they
-- may do. Statements that PostgreSQL lacks are turned into calls of these procedures by Translate.

-- admin is what an administrator is here: no superuser, but whoever owns what there is, may make
-- users and roles, and give away what users own.
CREATE ROLE rdsadmin;
GRANT rdsadmin, alice, bob, shared TO admin;
ALTER ROLE admin CREATEROLE;
ALTER DATABASE dev OWNER TO rdsadmin;
ALTER SCHEMA tickit OWNER TO rdsadmin;
ALTER SCHEMA finance OWNER TO rdsadmin;
ALTER LANGUAGE plpgsql OWNER TO rdsadmin;
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('tickit', 'finance') LOOP
        EXECUTE format('ALTER TABLE %I.%I OWNER TO rdsadmin', r.schemaname, r.tablename);
    END LOOP;
END $$;

-- Who may make roles can take any role in PostgreSQL 15, those included that lead out of the
-- database. They are not there.
DELETE FROM pg_authid WHERE rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files');

-- Rights on it can be given and taken; nothing can be written in it.
CREATE TRUSTED LANGUAGE plpythonu HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler VALIDATOR plpgsql_validator;
ALTER LANGUAGE plpythonu OWNER TO rdsadmin;

CREATE ROLE "sys:monitor";
GRANT pg_read_all_stats TO "sys:monitor";

-- The passwords of users as they are, because each way of asking for one hashes it otherwise.
CREATE TABLE pg_catalog.redshift_password (username text PRIMARY KEY, password text NOT NULL);

CREATE FUNCTION pg_catalog.redshift_keep_password(changed text, secret text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM redshift_password WHERE username = changed;
    IF secret IS NULL THEN
        RETURN;
    ELSIF secret !~ '[A-Z]' OR secret !~ '[a-z]' OR secret !~ '[0-9]' OR length(secret) NOT BETWEEN 8 AND 64 OR secret ~ '[''"\\/@ ]' THEN
        RAISE EXCEPTION 'a password has 8 to 64 characters, an uppercase letter, a lowercase letter and a number, and none of quotes, \, /, @ and space' USING ERRCODE = 'invalid_password';
    END IF;
    INSERT INTO redshift_password VALUES (changed, secret);
END $$;
REVOKE ALL ON FUNCTION pg_catalog.redshift_keep_password FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.redshift_keep_password TO admin;

CREATE PROCEDURE pg_catalog.redshift_put_user(statement text, changed text, secret text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    IF NOT pg_has_role('admin', changed, 'MEMBER') THEN
        EXECUTE format('GRANT %I TO admin', changed);
    END IF;
    PERFORM redshift_keep_password(changed, secret);
END $$;

CREATE TABLE pg_catalog.redshift_identity_provider (
    uid         integer GENERATED ALWAYS AS IDENTITY,
    name        text PRIMARY KEY,
    type        text NOT NULL CHECK (type IN ('azure', 'awsidc')),
    namespace   text NOT NULL UNIQUE,
    parameters  jsonb NOT NULL DEFAULT '{}',
    application text,
    iam_role    text,
    auto_create boolean NOT NULL,
    included    text NOT NULL DEFAULT '%',
    excluded    text NOT NULL DEFAULT '',
    enabled     boolean NOT NULL DEFAULT true
);

CREATE VIEW pg_catalog.svv_identity_providers AS
SELECT uid, name, type, coalesce(application, parameters ->> 'client_id') AS instanceid, namespace AS namespc,
       (parameters - 'client_secret' - 'client_pk_base64')::text AS params, enabled
FROM redshift_identity_provider;
CREATE VIEW pg_catalog.svv_roles AS
SELECT oid AS role_id, rolname::text AS role_name, 'rdsadmin'::text AS role_owner, NULL::text AS external_id
FROM pg_roles WHERE NOT rolcanlogin AND rolname NOT LIKE 'pg\_%' AND rolname NOT IN ('rdsadmin', 'rdsdb');
CREATE VIEW pg_catalog.svv_user_grants AS
SELECT m.oid AS user_id, m.rolname::text AS user_name, r.oid AS role_id, r.rolname::text AS role_name, a.admin_option
FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles r ON r.oid = a.roleid
WHERE m.rolcanlogin AND NOT r.rolcanlogin AND r.rolname NOT LIKE 'pg\_%' AND r.rolname <> 'rdsadmin';
CREATE VIEW pg_catalog.svv_role_grants AS
SELECT m.oid AS role_id, m.rolname::text AS role_name, r.oid AS granted_role_id, r.rolname::text AS granted_role_name
FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles r ON r.oid = a.roleid
WHERE NOT m.rolcanlogin AND NOT r.rolcanlogin AND r.rolname NOT LIKE 'pg\_%' AND m.rolname NOT LIKE 'pg\_%';
GRANT SELECT ON pg_catalog.svv_identity_providers TO admin;
GRANT SELECT ON pg_catalog.svv_roles, pg_catalog.svv_user_grants, pg_catalog.svv_role_grants TO PUBLIC;

-- What is not said of a provider is NULL; auto_create as a whole is NULL, 'true' or 'false'.
CREATE PROCEDURE pg_catalog.redshift_check_identity_provider(checked pg_catalog.redshift_identity_provider) LANGUAGE plpgsql AS $$
BEGIN
    IF checked.type = 'awsidc' AND (checked.application IS NULL OR checked.iam_role IS NULL) THEN
        RAISE EXCEPTION 'APPLICATION_ARN and IAM_ROLE are needed for an identity provider of type AWSIDC' USING ERRCODE = 'syntax_error';
    ELSIF checked.type = 'awsidc' AND checked.application !~ '^arn:aws[a-z-]*:sso::[0-9]{12}:application/' THEN
        RAISE EXCEPTION 'Invalid application ARN "%"', checked.application USING ERRCODE = 'invalid_parameter_value';
    ELSIF checked.type = 'awsidc' AND checked.iam_role !~ '^arn:aws[a-z-]*:iam::[0-9]{12}:role/.|^default$' THEN
        RAISE EXCEPTION 'Invalid IAM role ARN "%"', checked.iam_role USING ERRCODE = 'invalid_parameter_value';
    ELSIF checked.type = 'azure' AND NOT (checked.parameters ?& ARRAY['issuer', 'client_id', 'audience'] AND jsonb_typeof(checked.parameters -> 'audience') = 'array'
        AND (checked.parameters ? 'client_secret' OR checked.parameters ?& ARRAY['client_x5t', 'client_pk_base64'])) THEN
        RAISE EXCEPTION 'PARAMETERS of an identity provider of type azure needs issuer, client_id, client_secret (or client_x5t and client_pk_base64) and a list audience' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

CREATE PROCEDURE pg_catalog.redshift_create_identity_provider(new_name text, options jsonb) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    made redshift_identity_provider;
BEGIN
    made.name := new_name;
    made.type := lower(options ->> 'type');
    made.namespace := options ->> 'namespace';
    made.parameters := coalesce((options ->> 'parameters')::jsonb, '{}');
    made.application := options ->> 'application_arn';
    made.iam_role := options ->> 'iam_role';
    IF made.type IS NULL OR made.type NOT IN ('azure', 'awsidc') THEN
        RAISE EXCEPTION 'identity provider type "%" is not supported', options ->> 'type' USING ERRCODE = 'feature_not_supported';
    ELSIF made.namespace IS NULL OR made.namespace !~ '^[A-Za-z0-9_.-]+$' THEN
        RAISE EXCEPTION 'NAMESPACE is needed, of letters, digits, and _.-' USING ERRCODE = 'invalid_parameter_value';
    ELSIF EXISTS (SELECT FROM redshift_identity_provider p WHERE p.name = made.name) THEN
        RAISE EXCEPTION 'identity provider "%" already exists', made.name USING ERRCODE = 'duplicate_object';
    ELSIF EXISTS (SELECT FROM redshift_identity_provider p WHERE p.namespace = made.namespace) THEN
        RAISE EXCEPTION 'identity provider namespace "%" already exists', made.namespace USING ERRCODE = 'duplicate_object';
    END IF;
    CALL redshift_check_identity_provider(made);
    INSERT INTO redshift_identity_provider (name, type, namespace, parameters, application, iam_role, auto_create, included, excluded)
    VALUES (made.name, made.type, made.namespace, made.parameters, made.application, made.iam_role,
            coalesce((options ->> 'auto_create_roles')::boolean, made.type = 'azure'), coalesce(options ->> 'include', '%'), coalesce(options ->> 'exclude', ''));
END $$;

CREATE PROCEDURE pg_catalog.redshift_alter_identity_provider(old_name text, options jsonb) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    changed redshift_identity_provider;
BEGIN
    UPDATE redshift_identity_provider p SET
        namespace = coalesce(options ->> 'namespace', p.namespace),
        parameters = coalesce((options ->> 'parameters')::jsonb, p.parameters),
        iam_role = coalesce(options ->> 'iam_role', p.iam_role),
        auto_create = coalesce((options ->> 'auto_create_roles')::boolean, p.auto_create),
        included = CASE WHEN options ? 'auto_create_roles' THEN coalesce(options ->> 'include', '%') ELSE p.included END,
        excluded = CASE WHEN options ? 'auto_create_roles' THEN coalesce(options ->> 'exclude', '') ELSE p.excluded END,
        enabled = coalesce((options ->> 'enabled')::boolean, p.enabled)
    WHERE p.name = old_name RETURNING * INTO changed;
    IF changed.name IS NULL THEN
        RAISE EXCEPTION 'identity provider "%" does not exist', old_name USING ERRCODE = 'undefined_object';
    END IF;
    CALL redshift_check_identity_provider(changed);
END $$;

CREATE PROCEDURE pg_catalog.redshift_drop_identity_provider(old_name text, cascading boolean) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    gone redshift_identity_provider;
    r    record;
BEGIN
    DELETE FROM redshift_identity_provider p WHERE p.name = old_name RETURNING * INTO gone;
    IF gone.name IS NULL THEN
        RAISE EXCEPTION 'identity provider "%" does not exist', old_name USING ERRCODE = 'undefined_object';
    END IF;
    IF NOT cascading THEN
        RETURN;
    END IF;
    FOR r IN SELECT oid, rolname FROM pg_roles WHERE starts_with(rolname, gone.namespace || ':') LOOP
        IF EXISTS (SELECT FROM pg_class WHERE relowner = r.oid) OR EXISTS (SELECT FROM pg_namespace WHERE nspowner = r.oid) THEN
            RAISE EXCEPTION 'user "%" can''t be dropped because the user owns some object', r.rolname USING ERRCODE = 'object_in_use';
        END IF;
        EXECUTE format('DROP OWNED BY %I', r.rolname);
        EXECUTE format('DROP ROLE %I', r.rolname);
    END LOOP;
END $$;

REVOKE ALL ON PROCEDURE pg_catalog.redshift_create_identity_provider, pg_catalog.redshift_alter_identity_provider, pg_catalog.redshift_drop_identity_provider FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE pg_catalog.redshift_create_identity_provider, pg_catalog.redshift_alter_identity_provider, pg_catalog.redshift_drop_identity_provider TO admin;

-- A person whom an identity provider brings becomes a user, and has the roles of their groups that
-- there are. What other rights the user was given stays. NULL for the groups leaves the roles alone.
CREATE FUNCTION pg_catalog.redshift_admit(asked text, person text, groups text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    provider redshift_identity_provider;
    member   text := asked || ':' || person;
    wanted   text;
BEGIN
    SELECT * INTO provider FROM redshift_identity_provider p WHERE p.namespace = asked AND p.enabled;
    IF provider.name IS NULL THEN
        RAISE EXCEPTION '% identity provider does not exist', CASE WHEN groups IS NULL THEN 'Azure' ELSE 'AWS IdC' END USING ERRCODE = 'invalid_authorization_specification';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('redshift_admit'));
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = member) THEN
        EXECUTE format('CREATE ROLE %I LOGIN', member);
    END IF;
    FOREACH wanted IN ARRAY coalesce(groups, '{}') LOOP
        IF provider.auto_create AND wanted LIKE provider.included AND wanted NOT LIKE provider.excluded
            AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = asked || ':' || wanted) THEN
            EXECUTE format('CREATE ROLE %I', asked || ':' || wanted);
        END IF;
    END LOOP;
    IF groups IS NULL THEN
        RETURN;
    END IF;
    FOR wanted IN SELECT r.rolname FROM pg_roles r
        WHERE starts_with(r.rolname, asked || ':') AND NOT r.rolcanlogin AND NOT substr(r.rolname, length(asked) + 2) = ANY (groups) AND pg_has_role(member, r.oid, 'MEMBER') LOOP
        EXECUTE format('REVOKE %I FROM %I', wanted, member);
    END LOOP;
    FOR wanted IN SELECT r.rolname FROM pg_roles r
        WHERE starts_with(r.rolname, asked || ':') AND NOT r.rolcanlogin AND substr(r.rolname, length(asked) + 2) = ANY (groups) AND NOT pg_has_role(member, r.oid, 'MEMBER') LOOP
        EXECUTE format('GRANT %I TO %I', wanted, member);
    END LOOP;
END $$;

-- Rights on all that a schema or the database holds, and will hold, whoever makes it. An empty scope is
-- the database.
CREATE TABLE pg_catalog.redshift_scope (
    kind      text NOT NULL CHECK (kind IN ('TABLES', 'SCHEMAS')),
    scope     text NOT NULL,
    privilege text NOT NULL,
    grantee   text NOT NULL,
    PRIMARY KEY (kind, scope, privilege, grantee)
);

CREATE FUNCTION pg_catalog.redshift_grantee(name text) RETURNS text LANGUAGE sql IMMUTABLE
    AS 'SELECT CASE lower(name) WHEN ''public'' THEN ''PUBLIC'' ELSE quote_ident(name) END';

CREATE FUNCTION pg_catalog.redshift_keep_scope(verb text, of_kind text, of_scope text, privileges text[], grantees text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF verb = 'GRANT' THEN
        INSERT INTO redshift_scope SELECT of_kind, of_scope, p, g FROM unnest(privileges) p, unnest(grantees) g ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM redshift_scope WHERE kind = of_kind AND scope = of_scope AND grantee = ANY (grantees) AND (privilege = ANY (privileges) OR 'ALL' = ANY (privileges));
    END IF;
END $$;
REVOKE ALL ON FUNCTION pg_catalog.redshift_keep_scope FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.redshift_keep_scope TO admin;

CREATE PROCEDURE pg_catalog.redshift_scoped(verb text, kind text, scope text, privileges text[], grantees text[]) LANGUAGE plpgsql AS $$
DECLARE
    reached text;
BEGIN
    IF scope <> '' AND NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = scope) THEN
        RAISE EXCEPTION 'schema "%" does not exist', scope USING ERRCODE = 'invalid_schema_name';
    END IF;
    FOR reached IN SELECT nspname FROM pg_namespace
        WHERE nspname = scope OR scope = '' AND nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' LOOP
        EXECUTE format('%s %s ON %s %I %s %s', verb, array_to_string(privileges, ', '), CASE kind WHEN 'TABLES' THEN 'ALL TABLES IN SCHEMA' ELSE 'SCHEMA' END, reached,
            CASE verb WHEN 'GRANT' THEN 'TO' ELSE 'FROM' END, (SELECT string_agg(redshift_grantee(g), ', ') FROM unnest(grantees) g));
    END LOOP;
    PERFORM redshift_keep_scope(verb, kind, scope, privileges, grantees);
END $$;

CREATE FUNCTION pg_catalog.redshift_reach() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    made record;
    rule redshift_scope;
BEGIN
    FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_type IN ('table', 'view', 'materialized view', 'schema') AND schema_name IS DISTINCT FROM 'pg_temp' LOOP
        FOR rule IN SELECT s.* FROM redshift_scope s
            WHERE s.kind = CASE made.object_type WHEN 'schema' THEN 'SCHEMAS' ELSE 'TABLES' END AND s.scope IN ('', made.schema_name)
              AND (lower(s.grantee) = 'public' OR EXISTS (SELECT FROM pg_roles WHERE rolname = s.grantee)) LOOP
            EXECUTE format('GRANT %s ON %s %s TO %s', rule.privilege, CASE rule.kind WHEN 'SCHEMAS' THEN 'SCHEMA' ELSE 'TABLE' END, made.object_identity, redshift_grantee(rule.grantee));
        END LOOP;
    END LOOP;
END $$;
CREATE EVENT TRIGGER redshift_reach ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE VIEW', 'CREATE MATERIALIZED VIEW', 'CREATE SCHEMA')
    EXECUTE FUNCTION pg_catalog.redshift_reach();

CREATE PROCEDURE pg_catalog.redshift_drop_role(old_name text) LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member WHERE r.rolname = old_name AND m.rolcanlogin) THEN
        RAISE EXCEPTION 'cannot drop this role since it has been granted on a user' USING ERRCODE = 'dependent_objects_still_exist';
    ELSIF EXISTS (SELECT FROM pg_auth_members a JOIN pg_roles r ON r.rolname = old_name AND r.oid IN (a.roleid, a.member)) THEN
        RAISE EXCEPTION 'cannot drop this role since it depends on another role' USING ERRCODE = 'dependent_objects_still_exist';
    END IF;
    EXECUTE format('DROP ROLE %I', old_name);
END $$;
