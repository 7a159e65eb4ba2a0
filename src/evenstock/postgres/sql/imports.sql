-- name: begin
-- A finished import begins again from its first row: the keys see to it that nothing is booked twice.
insert into imports (file_sha256, mapping_sha256, rows_done) values ($1, $2, 0)
on conflict (file_sha256, mapping_sha256) do update
set rows_done = case when imports.finished_at is null then imports.rows_done else 0 end, finished_at = null
returning rows_done;

-- name: save
-- Never back: a run that lost its session may still be saving.
update imports set rows_done = greatest(rows_done, $3) where file_sha256 = $1 and mapping_sha256 = $2;

-- name: finish
update imports set finished_at = $3 where file_sha256 = $1 and mapping_sha256 = $2;

-- name: unknown_locations
select w.id from unnest($1::text[]) as w(id) where not exists (select from locations l where l.id = w.id) order by 1;

-- name: items_to_add
-- Those that are not known, and those without a name for which the file has one.
select w.sku, i.base_uom, i.scale
from unnest($1::text[], $2::boolean[]) as w(sku, named) left join items i using (sku)
where i.item_id is null or (i.name is null and w.named)
order by 1;

-- name: close_mended
update exceptions set closed_at = $4
where code = $1 and closed_at is null and starts_with(subject, $2) and not subject = any ($3::text[]);
