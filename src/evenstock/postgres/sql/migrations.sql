-- What has been applied to this schema.

-- name: make_schema
-- The names are quoted by the caller: they cannot be parameters.
CREATE SCHEMA {schema} AUTHORIZATION {owner};

-- name: make_table
CREATE TABLE IF NOT EXISTS migrations (
    name text COLLATE "C" CONSTRAINT a_migration_is_applied_once PRIMARY KEY,
    sha256 text NOT NULL CONSTRAINT the_content_is_known_by_its_sha256 CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz NOT NULL
);

-- name: applied
SELECT name, sha256 FROM migrations ORDER BY name;

-- name: remember
INSERT INTO migrations (name, sha256, applied_at) VALUES ($1, $2, $3);

-- name: state
-- Whether the runtime's role exists, whether this user may become it, and whether the schema is there.
SELECT
    EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS exists,
    EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(current_user, oid, 'MEMBER')) AS member,
    EXISTS (SELECT FROM pg_namespace WHERE nspname = $2) AS schema_exists,
    current_user::text AS user_name;
