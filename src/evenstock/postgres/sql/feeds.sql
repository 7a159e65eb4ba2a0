-- name: exposures_head
select revision from exposing;

-- name: exposures_page
-- What channels should see, in the order in which it was decided, after one place up to a revision; the newest of each only, and
-- none that waits for the books: it comes when it is released.
select e.revision, e.channel_id, e.item_id, c.id as channel, i.sku, i.scale, e.intended, e.was, e.version, e.ledger_seq, e.computed_at, e.because, e.trace_id
from exposures e
join channels c using (channel_id)
join items i using (item_id)
where (e.revision, e.channel_id, e.item_id) > ($1, $2, $3) and e.revision <= $4 and e.due_at is distinct from 'infinity' and ($5::text is null or c.id = $5) and ($6::text is null or i.sku = $6)
order by e.revision, e.channel_id, e.item_id
limit $7;

-- name: stock_head
-- Numbers of the ledger are given again after it went back in time: they are told apart by the fence.
select h.ledger_seq, (select max(epoch) from fences) as epoch from ledger_head h;

-- name: stock_page
-- Items that changed after one place up to a number of the ledger, each once, by its newest change.
select x.ledger_seq, x.item_id, i.sku
from (
    select item_id, max(ledger_seq) as ledger_seq
    from (
        select m.item_id, m.ledger_seq from movements m
        where m.ledger_seq >= $1 and m.ledger_seq <= $3 and m.recorded_at >= (select recorded_at from batches where ledger_seq = greatest($1, 1))
        union all
        select c.item_id, c.ledger_seq from claim_entries c where c.ledger_seq >= $1 and c.ledger_seq <= $3
    ) m
    group by item_id
) x
join items i using (item_id)
where (x.ledger_seq, x.item_id) > ($1, $2) and ($4::text is null or i.sku = $4)
order by x.ledger_seq, x.item_id;

-- name: key_is_good
select exists (select from api_keys where key_id = $1 and revoked_at is null);
