-- name: by_id
select channel_id, id, location_ids, safety_stock, hold_s, unpaid_s from channels where id = any ($1::text[]);

-- name: upsert
insert into channels (id, name, location_ids, safety_stock, connection_id, hold_s, unpaid_s, publish_on, created_at)
select i, n, array(select x::integer from json_array_elements_text(l) with ordinality as j(x, k) order by k), s, c, h, u, p, $2
from json_to_recordset($1::json) as t(i text, n text, l json, s bigint, c integer, h integer, u integer, p text)
order by i
on conflict (id) do update set name = coalesce(excluded.name, channels.name), location_ids = excluded.location_ids,
    safety_stock = excluded.safety_stock, connection_id = excluded.connection_id, hold_s = excluded.hold_s, unpaid_s = excluded.unpaid_s,
    publish_on = excluded.publish_on;

-- name: upsert_connections
-- With what they were from now on, for whoever reads something as it was read then.
with changed as (
    insert into connections (id, connector, settings, created_at)
    select i, c, s, $2 from json_to_recordset($1::json) as t(i text, c text, s jsonb)
    order by i
    on conflict (id) do update set connector = excluded.connector, settings = excluded.settings
    returning connection_id, connector, settings
)
insert into connection_settings (connection_id, since, connector, settings)
select c.connection_id, $2, c.connector, c.settings
from changed c
left join lateral (
    select s.connector, s.settings from connection_settings s where s.connection_id = c.connection_id order by s.since desc limit 1
) s on true
where (c.connector, c.settings) is distinct from (s.connector, s.settings)
on conflict (connection_id, since) do update set connector = excluded.connector, settings = excluded.settings;

-- name: every_connection
select connection_id, id, connector, settings::text as settings from connections;

-- name: every_channel
-- As configuration names them.
select to_jsonb(h) - 'channel_id' - 'created_at' - 'location_ids' - 'connection_id' || jsonb_build_object(
    'connection', c.id,
    'locations', array(select l.id from unnest(h.location_ids) with ordinality as x(location_id, n) join locations l using (location_id) order by n))
from channels h left join connections c using (connection_id) order by h.id;
