-- Invariants are views named v_*: each returns no row while all is well, and its comment says in words what a row means.

-- name: take_time
-- A proof reads and sorts the whole ledger, so it takes as long as it takes, and may use memory to do so.
SET LOCAL statement_timeout = 0;
SET LOCAL work_mem = '128MB';

-- name: all
-- Owned schema only: a view is found by its name, so a new one is run everywhere from its first day.
SELECT relation.relname::text AS name, coalesce(obj_description(relation.oid, 'pg_class'), '') AS comment
FROM pg_class AS relation
WHERE relation.relnamespace = current_schema()::regnamespace
  AND relation.relkind = 'v'
  AND relation.relname LIKE 'v\_%'
ORDER BY relation.relname;

-- name: broken
SELECT to_jsonb(broken)::text AS row FROM {view} AS broken LIMIT $1;
