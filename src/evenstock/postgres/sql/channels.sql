-- name: by_id
select channel_id, id, location_ids, safety_stock, hold_s, unpaid_s from channels where id = any ($1::text[]);

-- name: upsert
insert into channels (id, name, location_ids, safety_stock, connection_id, hold_s, unpaid_s, publish_on, confirmed_by,
    is_confirmer_named, created_at)
select i, n, array(select x::integer from json_array_elements_text(l) with ordinality as j(x, k) order by k), s, c, h, u, p, b, m, $2
from json_to_recordset($1::json) as t(i text, n text, l json, s bigint, c integer, h integer, u integer, p text, b integer, m boolean)
order by i
on conflict (id) do update set name = coalesce(excluded.name, channels.name), location_ids = excluded.location_ids,
    safety_stock = excluded.safety_stock, connection_id = excluded.connection_id, hold_s = excluded.hold_s, unpaid_s = excluded.unpaid_s,
    publish_on = excluded.publish_on, confirmed_by = excluded.confirmed_by, is_confirmer_named = excluded.is_confirmer_named;

-- name: upsert_connections
-- With what they were from now on, for whoever reads something as it was read then.
with changed as (
    insert into connections (id, connector, settings, closed, calls_per_s, flow, expect_within_s, expected_since, created_at)
    select i, c, s, w, r, f, e, case when e is not null then $2::timestamptz end, $2::timestamptz
    from json_to_recordset($1::json) as t(i text, c text, s jsonb, w jsonb, r double precision, f text, e integer)
    order by i
    on conflict (id) do update set connector = excluded.connector, settings = excluded.settings, closed = excluded.closed,
        calls_per_s = excluded.calls_per_s, flow = excluded.flow, expect_within_s = excluded.expect_within_s,
        expected_since = case when connections.expect_within_s = excluded.expect_within_s then connections.expected_since
            else excluded.expected_since end
    returning connection_id, connector, settings
)
insert into connection_settings (connection_id, since, connector, settings)
select c.connection_id, $2::timestamptz, c.connector, c.settings
from changed c
left join lateral (
    select s.connector, s.settings from connection_settings s where s.connection_id = c.connection_id order by s.since desc limit 1
) s on true
where (c.connector, c.settings) is distinct from (s.connector, s.settings)
on conflict (connection_id, since) do update set connector = excluded.connector, settings = excluded.settings;

-- name: every_connection
select connection_id, id, connector, settings::text as settings from connections;

-- name: configured_connections
-- As configuration names them.
select jsonb_build_object('id', k.id, 'connector', k.connector, 'settings', k.settings, 'closed', k.closed, 'calls_per_s', k.calls_per_s, 'flow', k.flow,
    'expect_within_s', k.expect_within_s,
    'books', case when b.is_kept then jsonb_build_object('per', b.per, 'every_s', b.every_s, 'first', b.first, 'late_days', b.late_days) end,
    'works', array(select l.id from workers_now w join locations l using (location_id) where w.connection_id = k.connection_id order by l.id))
from connections k left join books b using (connection_id) order by k.id;

-- name: every_channel
-- As configuration names them.
select to_jsonb(h) - 'channel_id' - 'created_at' - 'location_ids' - 'connection_id' - 'is_confirmer_named' - 'confirmed_from' - 'withheld' || jsonb_build_object(
    'connection', c.id, 'confirmed_by', case when h.is_confirmer_named then b.id end,
    'locations', array(select l.id from unnest(h.location_ids) with ordinality as x(location_id, n) join locations l using (location_id) order by n))
from channels h left join connections c using (connection_id) left join connections b on b.connection_id = h.confirmed_by order by h.id;

-- name: handle
-- What a person says of a connection: go on, send only what is owed by now, or send nothing.
update connections set handling = $2, handled_at = $3, handled_why = $4 where id = $1 returning connection_id;

-- name: standing
-- Every connection and how it stands: what a person said, what its lane says, and what it is owed.
select k.id, k.connector, k.flow, k.handling, k.handled_why, l.paused, coalesce(l.failures, 0) as failures, l.not_before, l.per_s,
    (select count(*) from channels c join exposures e using (channel_id)
        where c.connection_id = k.connection_id and e.connection_id = k.connection_id and e.due_at < 'infinity') as numbers,
    (select count(*) from postings p where p.connection_id = k.connection_id and p.due_at is not null) as postings,
    (select count(*) from commands o where o.connection_id = k.connection_id and o.due_at is not null) as commands
from connections k left join lanes l using (connection_id)
order by k.id;
