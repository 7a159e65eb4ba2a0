-- Where the database stands, and the fence that is raised when it may have gone back in time.

-- name: has_moved
-- Whether it stands elsewhere than it stood: another server, another history of it, or made again from a dump. A copy that only
-- reads (in recovery) is asked nothing.
select not pg_is_in_recovery() and (
    w.table_oid <> f.table_oid or coalesce(w.system_identifier <> f.system_identifier, false) or coalesce(w.timeline <> f.timeline, false)
) as has_moved
from whereabouts() w, (select * from fences order by epoch desc limit 1) f;

-- name: wait_turn
-- One at a time, and nobody makes masters, numbers or looks meanwhile: in the order in which batches lock.
select from master_version, ledger_head, exposing for update;

-- name: let_go
-- Lanes are taken anew, above every fence that an older holder may still bring.
update lanes set holder = '', fence = greatest(fence, $1) + 1, leased_until = not_before;

-- name: add
-- A new fence, above the last one.
insert into fences (epoch, raised_at, why, ledger_seq, recorded_at, system_identifier, timeline, table_oid)
select greatest(floor(extract(epoch from $2::timestamptz))::bigint, (select max(epoch) from fences) + 1), $2, $1, h.ledger_seq, h.recorded_at,
    w.system_identifier, w.timeline, w.table_oid
from ledger_head h, whereabouts() w
returning epoch, base, ledger_seq, recorded_at;

-- name: number_from
select number_from($1);

-- name: forget_masters
-- Whoever remembers masters reads them again.
update master_version set version = greatest(version, $1) + 1;

-- name: tell_anew
-- Every number is told again, under a version that no system has seen, whatever it confirmed; what waits for the books still waits.
with turn as (
    update exposing set revision = greatest(revision, $1) + 1 returning revision
), waits as (
    update channels set confirmed_from = t.revision from turn t where publish_on = 'erp_confirm'
)
update exposures e set version = greatest(e.version, $1) + 1, revision = t.revision, due_at = case when e.due_at = 'infinity' then e.due_at else e.computed_at end,
    was = null, tries = 0, sent_version = null, sent = null, unsettled = false, acked_version = null, acked = null, acked_at = null, refused_version = null
from turn t;

-- name: books
-- Whose books may have documents that are not known here, and the last that is.
select k.id, h.tag, coalesce((select max(p.posting_id) from postings p), 0) as posting_id
from books b join connections k using (connection_id), ledger_head h
where b.is_kept order by k.id;

-- name: settle
-- The sources have sent again what they had sent.
update fences set settled_at = $1 where settled_at is null returning epoch;

-- name: newest
select epoch, raised_at, why, ledger_seq, recorded_at, settled_at from fences order by epoch desc limit 1;
