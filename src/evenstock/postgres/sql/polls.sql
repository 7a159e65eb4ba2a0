-- name: terms
-- When a connection may be asked, and how fast. One that only draws down what it is owed is asked; so is one in shadow.
select closed::text as closed, calls_per_s, flow <> 'off' and handling <> 'paused' as is_asked from connections where connection_id = $1;

-- name: begin
-- A stream that was never asked for begins where it is said to; one that was goes on.
insert into polls (connection_id, stream, mark, asked_at) values ($1, $2, $3, $4)
on conflict (connection_id, stream) do nothing;

-- name: place
select mark, since, after, pages, revision, passed_at from polls where connection_id = $1 and stream = $2;

-- name: move
-- Only from the place that the mover read.
update polls
set mark = $4, since = $5, after = $6, pages = $7, revision = revision + 1, asked_at = $8, passed_at = case when $9::boolean then $8 else passed_at end
where connection_id = $1 and stream = $2 and revision = $3
returning revision;
