-- name: workers
-- Who works at each of these locations by now, by name.
select l.id as location, k.id as connection
from workers_now w join locations l using (location_id) join connections k using (connection_id)
where l.id = any ($1::text[]) or k.id = any ($2::text[]);

-- name: put_to_work
-- Whose system works at these locations from this number of the ledger on.
insert into location_workers (location_id, ledger_seq, connection_id)
select l.location_id, $1, k.connection_id
from json_to_recordset($2::json) as t(l text, k text) join locations l on l.id = t.l left join connections k on k.id = t.k;
