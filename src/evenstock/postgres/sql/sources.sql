-- name: answered
insert into sources (connection_id, asked_at, answered_at) values ($1, $2, $2)
on conflict (connection_id) do update set asked_at = $2, answered_at = $2, failures = 0, detail = null;

-- name: failed
insert into sources (connection_id, asked_at, failures, detail) values ($1, $2, 1, $3)
on conflict (connection_id) do update set asked_at = $2, failures = sources.failures + 1, detail = $3
returning failures;

-- name: take_file
-- The same content under the same name is the same file; delivered again, it is read again.
insert into files (connection_id, name, size, sha256, taken_at) values ($1, $2, $3, $4, $5)
on conflict (connection_id, name, sha256) do update
set status = 'reading', code = null, detail = null, done_at = null, taken_at = case when files.status = 'reading' then files.taken_at else $5 end
returning file_id;

-- name: end_file
update files set status = $2, rows = $3, outcomes = $4, code = $5, detail = $6, done_at = $7 where file_id = $1;

-- name: quarantined
-- The exceptions of a connection about files; those whose file was taken away by a person are over.
select subject from exceptions where code = 'file.quarantined' and closed_at is null and starts_with(subject, $1);

-- name: page
select f.file_id, c.id as connection, f.name, f.size, encode(f.sha256, 'hex') as sha256, f.status, f.rows, f.outcomes::text as outcomes,
    f.code, f.detail, f.taken_at, f.done_at
from files f join connections c using (connection_id)
where f.file_id < $1 and ($2::text is null or f.status = $2) and ($3::text is null or c.id = $3)
order by f.file_id desc limit $4;

-- name: absent
-- Items of a location without a count of that instant, of which there is or then was something. What moved since then may have been there.
select i.sku
from positions p
join locations l using (location_id)
join items i using (item_id)
where l.id = $1
    and (
        case $2::text when 'sellable' then p.sellable when 'quarantine' then p.quarantine when 'damaged' then p.damaged
            else p.sellable + p.quarantine + p.damaged end <> 0
        or exists (select from movements m where m.item_id = p.item_id and m.location_id = p.location_id and m.occurred_at > $3)
    )
    and not exists (select from counts c where c.item_id = p.item_id and c.location_id = p.location_id and c.counted_at = $3 and c.scope = $2)
order by i.sku;

-- name: counted
select count(distinct c.item_id) from positions p join locations l using (location_id) join counts c using (item_id, location_id)
where l.id = $1 and c.counted_at = $3 and c.scope = $2;

-- name: held_at
-- Lines of an instant that wait for something else than their item: it may be there.
select count(*) from held_lines h join facts f using (fact_id)
where f.connection_id = $1 and h.occurred_at = $2 and h.settled_at is null and h.code <> 'stock.unknown_item';
