-- name: owners
select o.domain, o.scope, k.id as owner, o.since from owners o left join connections k using (connection_id) order by 1, 2;

-- name: claim
-- What systems claim, each scope by one; a claim that stands as it was keeps its date.
insert into owners (domain, scope, connection_id, since)
select d, s, c, $2 from json_to_recordset($1::json) as t(d text, s text, c integer)
on conflict (domain, scope) do update set connection_id = excluded.connection_id,
    since = case when owners.connection_id is distinct from excluded.connection_id then excluded.since else owners.since end;

-- name: unclaim
delete from owners o using json_to_recordset($1::json) as t(d text, s text) where o.domain = t.d and o.scope = t.s;

-- name: told
-- Everybody whom the hub writes to: channels by their id, books by that of their connection.
select 'availability' as domain, channel_id as number, id, connection_id, withheld from channels
union all
select 'financial_stock', b.connection_id, k.id, b.connection_id, b.withheld from books b join connections k using (connection_id)
order by 1, 3;

-- name: withhold_channels
update channels c set withheld = t.w from json_to_recordset($1::json) as t(n integer, w text) where c.channel_id = t.n;

-- name: withhold_books
update books b set withheld = t.w from json_to_recordset($1::json) as t(n integer, w text) where b.connection_id = t.n;

-- name: shown
-- What is open about who owns these domains.
select code, subject, detail from exceptions
where closed_at is null and code in ('ownership.other', 'ownership.disputed') and split_part(subject, ':', 2) = any ($1::text[])
order by 1, 2;

-- name: held_for
-- What waits for who owns a domain to be settled.
select distinct subject from held_lines
where settled_at is null and code in ('ownership.other', 'ownership.disputed') and split_part(subject, ':', 2) = any ($1::text[]);
