-- name: put
insert into secrets (name, token, changed_at) values ($1, $2, $3)
on conflict (name) do update set token = excluded.token, changed_at = excluded.changed_at;

-- name: token_of
select token from secrets where name = $1;

-- name: every
select name, changed_at from secrets order by name;

-- name: remove
delete from secrets where name = $1 returning name;
