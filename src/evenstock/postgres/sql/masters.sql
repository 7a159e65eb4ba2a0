-- name: version
select version from master_version;

-- name: lock_version
-- Shared with other writers, against the change of a master: what is held now will be seen by the release.
select version from master_version for share;

-- name: raise_version
update master_version set version = version + 1 returning version;

-- name: items_by_sku
select item_id, sku, base_uom, scale from items where sku = any ($1::text[]);

-- name: items_by_gtin
select i.item_id, i.sku, g.gtin, i.base_uom, i.scale from item_gtins g join items i using (item_id) where g.gtin = any ($1::text[]);

-- name: items_by_code
select i.item_id, i.sku, c.code, c.connection_id, i.base_uom, i.scale
from unnest($1::integer[], $2::text[]) as k(connection_id, code) join item_codes c using (connection_id, code) join items i using (item_id);

-- name: uoms_of
select item_id, uom, numerator, denominator from item_uoms where item_id = any ($1::integer[]);

-- name: locations_by_id
select location_id, id, count_policy, type from locations where id = any ($1::text[]);

-- name: connections
select connection_id, id from connections;

-- name: add_connections
insert into connections (id, connector, created_at) select x, $2, $3 from unnest($1::text[]) as x order by 1
on conflict (id) do nothing;

-- name: upsert_items
insert into items (sku, name, base_uom, scale, unit_value, value_currency, created_at)
select s, n, u, coalesce(d, 0), v, c, $2 from json_to_recordset($1::json) as t(s text, n text, u text, d smallint, v numeric, c text)
order by s
on conflict (sku) do update set name = coalesce(excluded.name, items.name), base_uom = excluded.base_uom, scale = excluded.scale,
    unit_value = coalesce(excluded.unit_value, items.unit_value), value_currency = coalesce(excluded.value_currency, items.value_currency)
returning item_id, sku;

-- name: lock_items
select item_id, sku, base_uom, scale, exists (select from positions p where p.item_id = items.item_id) as used
from items where sku = any ($1::text[]) order by sku for update;

-- name: set_uoms
insert into item_uoms (item_id, uom, numerator, denominator)
select i, u, n, d from json_to_recordset($1::json) as t(i integer, u text, n bigint, d bigint)
on conflict (item_id, uom) do update set numerator = excluded.numerator, denominator = excluded.denominator;

-- name: add_gtins
insert into item_gtins (gtin, item_id) select g, i from json_to_recordset($1::json) as t(g text, i integer) on conflict (gtin) do nothing;

-- name: gtin_owners
select g.gtin, i.sku from item_gtins g join items i using (item_id) where g.gtin = any ($1::text[]);

-- name: add_codes
insert into item_codes (connection_id, code, item_id)
select c, k, i from json_to_recordset($1::json) as t(c integer, k text, i integer) on conflict (connection_id, code) do nothing;

-- name: code_owners
select c.connection_id, c.code, i.sku from unnest($1::integer[], $2::text[]) as k(connection_id, code)
join item_codes c using (connection_id, code) join items i using (item_id);

-- name: upsert_locations
insert into locations (id, name, type, timezone, region, count_policy, created_at)
select i, n, t, z, r, p, $2 from json_to_recordset($1::json) as x(i text, n text, t text, z text, r text, p text)
order by i
on conflict (id) do update set name = coalesce(excluded.name, locations.name), type = excluded.type, timezone = excluded.timezone,
    region = excluded.region, count_policy = excluded.count_policy
returning location_id, id;

-- name: held_subjects
-- What waits for one of these items or locations, by any of their names.
select distinct subject from held_lines where settled_at is null and subject = any ($1::text[]);

-- name: every_location
-- As configuration names them.
select to_jsonb(l) - 'location_id' - 'created_at' from locations l order by id;
