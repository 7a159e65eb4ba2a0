-- name: load_streams
select connection_id, stream, epoch, seen from streams
join json_to_recordset($1::json) as n(c integer, s text, e text) on connection_id = n.c and stream = n.s and epoch = n.e;

-- name: store_streams
insert into streams (connection_id, stream, epoch, seen)
select c, s, e, array(select x::bigint from json_array_elements_text(r) with ordinality as j(x, n) order by n)
from json_to_recordset($1::json) as n(c integer, s text, e text, r json)
on conflict (connection_id, stream, epoch) do update set seen = excluded.seen;
