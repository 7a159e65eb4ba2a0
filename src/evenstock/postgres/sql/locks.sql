-- Every lock of ours that is not on a row of our tables, in one place. Hints within one server: what must be right
-- across servers is held by constraints.

-- name: migrating
-- One migration at a time per schema. Held by the session, so the server frees it however the session ends.
SELECT pg_advisory_lock(hashtextextended('evenstock/migrating/' || $1, 0));

-- name: granting
-- Roles belong to the whole server, so making and granting them waits for other schemas' migrations too.
SELECT pg_advisory_xact_lock(hashtextextended('evenstock/granting', 0));

-- name: importing
-- One run of an import at a time, so that two do not write one reject file. Asked, not waited for: it may take hours.
SELECT pg_try_advisory_lock(hashtextextended('evenstock/importing/' || current_schema() || '/' || $1, 0));

-- name: imported
-- A session that lives on lets go by itself.
SELECT pg_advisory_unlock(hashtextextended('evenstock/importing/' || current_schema() || '/' || $1, 0));

-- name: ordering
-- One process at a time turns orders into promises, so that an order and its cancellation keep their order.
SELECT pg_try_advisory_lock(hashtextextended('evenstock/ordering/' || current_schema(), 0));

-- name: ordered
SELECT pg_advisory_unlock(hashtextextended('evenstock/ordering/' || current_schema(), 0));

-- name: taking
-- One process at a time takes from a connection; a dead one lets go with its session.
SELECT pg_try_advisory_lock(hashtextextended('evenstock/taking/' || current_schema() || '/' || $1::integer, 0));

-- name: taken
SELECT pg_advisory_unlock(hashtextextended('evenstock/taking/' || current_schema() || '/' || $1::integer, 0));
