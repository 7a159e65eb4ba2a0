-- name: new_count_ids
select nextval('counts_count_id_seq') as count_id from generate_series(1, $1);

-- name: standing_counts
-- The standing counts of positions at or after the earliest instant a batch touches there.
select c.count_id, c.source, c.key, c.line, c.item_id, c.location_id, c.scope, c.started_at, c.counted_at, c.quantity, c.opening, c.adjusted
from json_to_recordset($1::json) as t(i integer, l integer, s timestamptz)
join counts c on c.item_id = t.i and c.location_id = t.l and c.counted_at >= t.s
where c.standing
order by c.item_id, c.location_id, c.counted_at, c.source, c.key, c.line;

-- name: moved_after
-- For each new count: what moved after its instant, by bucket, so that balance then = position - this.
select n.c as count_id,
    coalesce(sum(case when m.to_place = 'sellable' then m.quantity when m.from_place = 'sellable' then -m.quantity end), 0)::bigint as sellable,
    coalesce(sum(case when m.to_place = 'quarantine' then m.quantity when m.from_place = 'quarantine' then -m.quantity end), 0)::bigint as quarantine,
    coalesce(sum(case when m.to_place = 'damaged' then m.quantity when m.from_place = 'damaged' then -m.quantity end), 0)::bigint as damaged,
    coalesce(sum(case when m.to_place = 'in_transit' then m.quantity when m.from_place = 'in_transit' then -m.quantity end), 0)::bigint as in_transit
from json_to_recordset($1::json) as n(c bigint, i integer, l integer, e timestamptz)
left join movements m on m.item_id = n.i and m.location_id = n.l and m.occurred_at > n.e
    and m.recorded_at >= n.e - interval '10 minutes'
group by n.c;

-- name: left_within
-- For each new interval count: what left its scope inside (started_at, counted_at], reversals in their original's
-- direction, the counts' own corrections left out (C7).
select n.c as count_id, coalesce(sum(
    case
        when m.reverses is null and m.from_place::text = any (s.buckets) and not m.to_place::text = any (s.buckets) then -m.quantity
        when m.reverses is not null and m.to_place::text = any (s.buckets) and not m.from_place::text = any (s.buckets) then m.quantity
    end), 0)::bigint as kept
from json_to_recordset($1::json) as n(c bigint, i integer, l integer, b timestamptz, e timestamptz, s text)
cross join lateral (select case when n.s = 'on_hand' then array['sellable', 'quarantine', 'damaged'] else array[n.s] end) as s(buckets)
left join movements m on m.item_id = n.i and m.location_id = n.l and m.occurred_at > n.b and m.occurred_at <= n.e and m.count_id is null
group by n.c;

-- name: insert_counts
insert into counts (count_id, fact_id, source, key, line, item_id, location_id, scope, started_at, counted_at, quantity, opening, adjusted)
select c, a, o, k, e, i, l, s, b, t, q, p, j
from json_to_recordset($1::json) as n(c bigint, a bigint, o text, k text, e text, i integer, l integer, s text, b timestamptz, t timestamptz,
    q bigint, p boolean, j bigint);

-- name: adjust_counts
update counts set adjusted = adjusted + d.j
from json_to_recordset($1::json) as d(c bigint, j bigint) where count_id = d.c;

-- name: void_counts
update counts set standing = false where count_id = any ($1::bigint[]);

-- name: counts_of_fact
select c.count_id, c.source, c.key, c.line, c.item_id, c.location_id, c.scope, c.started_at, c.counted_at, c.quantity, c.opening, c.adjusted
from counts c where c.fact_id = $1 and c.standing
order by c.count_id;

-- name: conflicting_counts
-- Items, places, scopes and instants whose standing counts say different things (C5).
select c.item_id, c.location_id, c.scope, c.counted_at
from json_to_recordset($1::json) as n(i integer, l integer, s text, t timestamptz)
join counts c on c.item_id = n.i and c.location_id = n.l and c.counted_at = n.t and c.scope = n.s
where c.standing
group by c.item_id, c.location_id, c.scope, c.counted_at
having min(c.quantity) <> max(c.quantity);
