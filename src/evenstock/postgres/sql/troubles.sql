-- name: open_troubles
-- What a system refuses or does not confirm, and is not shown yet.
select t.code, t.subject, t.number, t.detail, t.item_id
from dispatch_troubles t
where t.connection_id = $1 and not exists (select from exceptions e where e.code = t.code and e.subject = t.subject and e.closed_at is null);

-- name: settled_troubles
-- What is shown and is no more.
select e.code, e.subject from exceptions e
where e.code = any ($2::text[]) and e.connection_id = $1 and e.closed_at is null
    and not exists (select from dispatch_troubles t where t.code = e.code and t.subject = e.subject);

-- name: troubled
-- Whether anything about a connection's postings or commands is shown or ought to be.
select exists (select from exceptions where connection_id = $1 and code = any ($2::text[]) and closed_at is null);
