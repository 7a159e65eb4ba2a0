-- name: insert_key
insert into api_keys (key_id, name, secret_sha256, scopes, connection_ids, device, created_at)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: key_by_id
select key_id, name, secret_sha256, scopes, connection_ids, device from api_keys where key_id = $1 and revoked_at is null;

-- name: every_key
select key_id, name, scopes, device, created_at, revoked_at,
    (select coalesce(array_agg(c.id order by c.id), '{}') from connections c where c.connection_id = any (k.connection_ids)) as connections
from api_keys k order by created_at, key_id;

-- name: revoke
update api_keys set revoked_at = $2 where key_id = $1 and revoked_at is null returning key_id;
