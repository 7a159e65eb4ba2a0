-- What must always hold. Every view named v_* returns no row while all is well; its comment says what a row means and
-- what to do, and is shown by `evenstock verify`.
--
-- Each view reads its tables once or twice and joins or sorts them as a whole, so that the work grows with the rows, never
-- with their square: no subquery per movement, and balances as of an instant by one running sum over each position.

-- What several of them read -------------------------------------------------------------------------------------

create view movement_effects as
select ledger_seq, ordinal, item_id, location_id, occurred_at, count_id,
    case when to_place = 'sellable' then quantity when from_place = 'sellable' then -quantity else 0 end as sellable,
    case when to_place = 'quarantine' then quantity when from_place = 'quarantine' then -quantity else 0 end as quarantine,
    case when to_place = 'damaged' then quantity when from_place = 'damaged' then -quantity else 0 end as damaged,
    case when to_place = 'in_transit' then quantity when from_place = 'in_transit' then -quantity else 0 end as in_transit
from movements;
comment on view movement_effects is 'What each movement does to the buckets of its position, signed.';

create view own_movements as
select m.* from movements m where m.count_id is null and m.reverses is null;
comment on view own_movements is 'Movements that facts made by themselves: no corrections of counts, no reversals.';

-- The ledger ----------------------------------------------------------------------------------------------------

create view v_position_is_fold as
select item_id, location_id, p.item_id is null as position_missing,
    p.sellable, p.quarantine, p.damaged, p.in_transit,
    f.sellable as fold_sellable, f.quarantine as fold_quarantine, f.damaged as fold_damaged, f.in_transit as fold_in_transit
from positions p
full join (
    select item_id, location_id, sum(sellable) as sellable, sum(quarantine) as quarantine, sum(damaged) as damaged,
        sum(in_transit) as in_transit
    from movement_effects group by item_id, location_id
) f using (item_id, location_id)
where p.item_id is null
    or (p.sellable, p.quarantine, p.damaged, p.in_transit)
        is distinct from (coalesce(f.sellable, 0), coalesce(f.quarantine, 0), coalesce(f.damaged, 0), coalesce(f.in_transit, 0));
comment on view v_position_is_fold is 'A balance is not the sum of its movements. Something wrote past the ledger: stop writers, restore from a backup, and report it.';

create view v_position_is_of_something as
select p.item_id, p.location_id, i.item_id is null as item_missing, l.location_id is null as location_missing
from positions p left join items i using (item_id) left join locations l using (location_id)
where i.item_id is null or l.location_id is null;
comment on view v_position_is_of_something is 'A balance of an item or a location that does not exist. A master was deleted by hand: put it back with the same number.';

create view v_movement_has_fact as
select m.ledger_seq, m.ordinal, m.fact_id from movements m left join facts f using (fact_id) where f.fact_id is null;
comment on view v_movement_has_fact is 'A movement without the fact that made it necessary. A fact was deleted by hand: restore it from a backup.';

create view v_movement_has_batch as
select m.ledger_seq, m.ordinal, m.recorded_at, b.recorded_at as batch_recorded_at
from movements m left join batches b using (ledger_seq)
where b.recorded_at is distinct from m.recorded_at;
comment on view v_movement_has_batch is 'A movement whose batch is missing or was recorded at another time. Answers of what was known when are wrong: restore from a backup.';

create view v_movements_are_complete as
select ledger_seq, count(*) as movements, min(ordinal) as first, max(ordinal) as last
from movements group by ledger_seq
having min(ordinal) <> 0 or max(ordinal) <> count(*) - 1 or count(distinct ordinal) <> count(*);
comment on view v_movements_are_complete is 'Movements of a batch are missing or doubled: they are numbered from 0 without gaps. Restore from a backup.';

create view v_fact_has_batch as
select f.fact_id, f.batch_id from facts f left join batches b using (batch_id) where b.batch_id is null;
comment on view v_fact_has_batch is 'A fact that belongs to no batch, so nobody can say when we knew it. Restore from a backup.';

create view v_fact_has_connection as
select f.fact_id, f.connection_id from facts f left join connections c using (connection_id) where c.connection_id is null;
comment on view v_fact_has_connection is 'A fact of a connection that does not exist. The connection was deleted by hand: put it back with the same number.';

create view v_batches_have_no_gaps as
select ledger_seq, previous
from (select ledger_seq, lag(ledger_seq, 1, 0::bigint) over (order by ledger_seq) as previous from batches) b
where ledger_seq <> previous + 1;
comment on view v_batches_have_no_gaps is 'Numbers of the ledger are missing before this one. Batches were deleted by hand: restore from a backup.';

create view v_head_is_last_batch as
select h.ledger_seq, h.recorded_at, b.ledger_seq as last_ledger_seq, b.recorded_at as last_recorded_at
from ledger_head h
left join lateral (select ledger_seq, recorded_at from batches order by ledger_seq desc limit 1) b on true
where h.ledger_seq <> coalesce(b.ledger_seq, 0) or h.recorded_at <> coalesce(b.recorded_at, 'epoch');
comment on view v_head_is_last_batch is 'The head of the ledger is not its last batch: the end was cut off, or the head was changed by hand. Restore from a backup.';

create view v_knowing_goes_forward as
select ledger_seq, recorded_at, previous
from (select ledger_seq, recorded_at, lag(recorded_at) over (order by ledger_seq) as previous from batches) b
where recorded_at < previous;
comment on view v_knowing_goes_forward is 'A batch was recorded before the one it follows, so a time does not say what was known then. Report it.';

create view v_ledger_is_append_only as
select c.relname::text as table_name, null::text as column_name, p.privilege
from pg_class c
cross join unnest(array['UPDATE', 'DELETE', 'TRUNCATE']) as p(privilege)
where c.relnamespace = (select relnamespace from pg_class where oid = 'movements'::regclass)
    and (c.relname in ('movements', 'batches', 'facts', 'counts', 'voids')
        or c.oid in (select inhrelid from pg_inherits where inhparent = 'movements'::regclass))
    and has_table_privilege('evenstock_app', c.oid, p.privilege)
union all
select c.relname::text, a.attname::text, 'UPDATE'
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = (select relnamespace from pg_class where oid = 'movements'::regclass)
    and c.relname in ('movements', 'batches', 'facts', 'counts', 'voids')
    and (c.relname, a.attname) not in (('facts', 'status'), ('facts', 'reason'), ('counts', 'adjusted'), ('counts', 'standing'))
    and has_column_privilege('evenstock_app', c.oid, a.attnum, 'UPDATE');
comment on view v_ledger_is_append_only is 'The runtime''s role may change or delete what must stand for ever. Revoke this privilege from evenstock_app.';

-- Facts and their effects ---------------------------------------------------------------------------------------

create view v_applied_fact_has_effect as
select f.fact_id, f.connection_id, f.key, f.type
from facts f
where f.status = 'applied'
    and not exists (select from own_movements m where m.fact_id = f.fact_id)
    and not exists (select from counts c where c.fact_id = f.fact_id)
    and not exists (select from voids v where v.void_fact_id = f.fact_id);
comment on view v_applied_fact_has_effect is 'A fact is called applied and did nothing: its movements, counts or void are missing. Restore from a backup and report it.';

create view v_waiting_fact_has_no_effect as
select distinct f.fact_id, f.connection_id, f.key, f.type, f.status
from facts f
join (
    select fact_id from own_movements
    union all select fact_id from counts where standing
    union all select void_fact_id from voids
) e using (fact_id)
where f.status <> 'applied';
comment on view v_waiting_fact_has_no_effect is 'A fact that is called held, parked or ignored has changed stock. Report it.';

create view v_held_fact_has_held_line as
select f.fact_id, f.status, count(h.fact_id) as lines_waiting
from facts f left join held_lines h on h.fact_id = f.fact_id and h.settled_at is null
where f.status = 'held' or h.fact_id is not null
group by f.fact_id, f.status
having (f.status = 'held' and count(h.fact_id) = 0) or f.status not in ('held', 'applied');
comment on view v_held_fact_has_held_line is 'A fact is held and none of its lines waits, or lines of a fact wait that is parked or ignored: nothing will ever release it. Report it.';

create view v_settled_line_has_batch as
select h.fact_id, h.line_index, h.settled_at, h.settled_seq
from held_lines h left join batches b on b.ledger_seq = h.settled_seq
where (h.settled_at is null) <> (h.settled_seq is null) or (h.settled_seq is not null and b.ledger_seq is null);
comment on view v_settled_line_has_batch is 'A line was booked or dropped, and nobody can say by which batch. Report it.';

create view v_own_movement_is_in_its_batch as
select m.ledger_seq, m.ordinal, m.fact_id, f.batch_id
from own_movements m
join batches b using (ledger_seq)
join facts f on f.fact_id = m.fact_id and f.batch_id <> b.batch_id
where not exists (select from held_lines h where h.fact_id = m.fact_id and h.settled_seq = m.ledger_seq)
    and not exists (select from voids v where v.void_fact_id = m.fact_id);
comment on view v_own_movement_is_in_its_batch is 'A fact moved stock in a batch that neither brought it nor released a line of it; its void would not find this movement. Report it.';

create view v_time_is_plausible as
select fact_id, occurred_at, received_at, time_basis from facts
where occurred_at > received_at + interval '5 minutes' or (time_basis <> 'source' and occurred_at <> received_at)
union all
select c.fact_id, c.counted_at, f.received_at, f.time_basis from counts c join facts f using (fact_id)
where c.counted_at > f.received_at + interval '5 minutes';
comment on view v_time_is_plausible is 'Something is booked more than 5 minutes after we received it, which cannot be: its source''s clock runs ahead. Report it.';

create view v_known_after_it_happened as
select ledger_seq, ordinal, occurred_at, recorded_at from movements where occurred_at > recorded_at + interval '10 minutes';
comment on view v_known_after_it_happened is 'A movement was recorded more than 10 minutes before it happened; answers as of an instant leave it out. Report it.';

create view v_quantity_is_sane as
select 'position' as what, item_id, location_id, greatest(abs(sellable), abs(quarantine), abs(damaged), abs(in_transit)) as units
from positions
where greatest(abs(sellable), abs(quarantine), abs(damaged), abs(in_transit)) > 1000000000000000
union all
select 'count', item_id, location_id, quantity from counts where quantity > 1000000000000
union all
select why, item_id, location_id, quantity from movements
where quantity not between 1 and case when count_id is null then 1000000000000 else 1000000000000000 end;
comment on view v_quantity_is_sane is 'A quantity beyond belief: a line holds at most 1,000,000,000,000 units, above zero. Look for a wrong unit, and void the fact.';

-- Voids ---------------------------------------------------------------------------------------------------------

create view v_void_fits_target as
select v.target_fact_id, v.void_fact_id, v.goods, t.type as target_type, f.type as void_type, f.status as void_status
from voids v left join facts t on t.fact_id = v.target_fact_id left join facts f on f.fact_id = v.void_fact_id
where t.fact_id is null or f.fact_id is null or f.status <> 'applied'
    or t.type in ('FactVoided.v1', 'CountVoided.v1')
    or f.type <> case when v.goods = 'count' then 'CountVoided.v1' else 'FactVoided.v1' end
    or (t.type = 'StockCounted.v1') <> (v.goods = 'count')
    or (v.goods = 'came_back' and t.type <> 'SaleRecorded.v1');
comment on view v_void_fits_target is 'A void took effect on a fact that it does not fit, or that is not there. Report it.';

create view v_void_takes_one_fact as
select void_fact_id, count(*) as targets from voids group by void_fact_id having count(*) > 1;
comment on view v_void_takes_one_fact is 'One void took back several facts. Report it.';

create view v_void_takes_back_exactly as
select target_fact_id, item_id, location_id, line, from_place, to_place, occurred_at, sum(units) as units_left
from (
    select v.target_fact_id, m.item_id, m.location_id, m.line, m.from_place, m.to_place, m.occurred_at, m.quantity as units
    from voids v join own_movements m on m.fact_id = v.target_fact_id
    where v.goods = 'never_left'
    union all
    select m.reverses, m.item_id, m.location_id, m.line, m.to_place, m.from_place, m.occurred_at, -m.quantity
    from movements m where m.reverses is not null
) u
group by target_fact_id, item_id, location_id, line, from_place, to_place, occurred_at
having sum(units) <> 0;
comment on view v_void_takes_back_exactly is 'A fact that never happened was not taken back exactly, at its own instant. Adjust what is left, and report it.';

create view v_reversal_is_by_void as
select m.ledger_seq, m.ordinal, m.fact_id, m.reverses
from movements m left join voids v on v.target_fact_id = m.reverses and v.void_fact_id = m.fact_id and v.goods = 'never_left'
where m.reverses is not null and v.target_fact_id is null;
comment on view v_reversal_is_by_void is 'A movement takes back a fact that no void took back. Report it.';

create view v_void_brings_back_exactly as
select target_fact_id, item_id, location_id, line, sum(units) as units_left
from (
    select v.target_fact_id, m.item_id, m.location_id, m.line, m.quantity as units
    from voids v join own_movements m on m.fact_id = v.target_fact_id
    where v.goods = 'came_back'
    union all
    select v.target_fact_id, m.item_id, m.location_id, m.line, -m.quantity
    from voids v join own_movements m on m.fact_id = v.void_fact_id
) u
group by target_fact_id, item_id, location_id, line
having sum(units) <> 0;
comment on view v_void_brings_back_exactly is 'The goods of a voided sale came back, and other units were booked into quarantine than were sold. Adjust the difference, and report it.';

create view v_voided_fact_waits_no_more as
select h.fact_id, h.line_index, v.void_fact_id
from held_lines h join voids v on v.target_fact_id = h.fact_id
where h.settled_at is null and v.goods <> 'came_back';
comment on view v_voided_fact_waits_no_more is 'A line waits for a master though its fact was voided; it would be booked. Report it before adding the master.';

create view v_voided_count_does_not_stand as
select c.count_id, c.fact_id, c.standing, v.void_fact_id
from counts c left join voids v on v.target_fact_id = c.fact_id
where c.standing <> (v.target_fact_id is null);
comment on view v_voided_count_does_not_stand is 'A count stands though it was voided, or does not stand though nobody voided it. Report it.';

-- Counts --------------------------------------------------------------------------------------------------------

create view v_count_is_its_facts as
select c.count_id, c.fact_id, c.source, c.key, f.type
from counts c left join facts f using (fact_id) left join connections n on n.connection_id = f.connection_id
where f.type is distinct from 'StockCounted.v1' or n.id is distinct from c.source or f.key is distinct from c.key;
comment on view v_count_is_its_facts is 'A count does not carry the identity of its fact, by which counts of one instant are ordered. Restore from a backup.';

create view count_sums as
select m.count_id,
    sum(case when m.from_place in ('shrink', 'found', 'opening') then m.quantity else -m.quantity end) as adjusted,
    sum(case when m.to_place = 'shrink' then m.quantity when m.from_place = 'shrink' then -m.quantity else 0 end) as shrink,
    sum(case when m.from_place = 'found' then m.quantity when m.to_place = 'found' then -m.quantity else 0 end) as found,
    sum(case when m.from_place = 'opening' then m.quantity when m.to_place = 'opening' then -m.quantity else 0 end) as opening
from movements m where m.count_id is not null group by m.count_id;
comment on view count_sums is 'What the movements of each count add up to.';

create view v_count_adjusted_is_sum as
select count_id, c.adjusted, s.adjusted as sum_of_movements, c.standing
from counts c full join count_sums s using (count_id)
where c.count_id is null or c.adjusted <> coalesce(s.adjusted, 0);
comment on view v_count_adjusted_is_sum is 'What a count is said to have adjusted is not what its movements say; its void would take back something else. Report it.';

create view v_count_is_in_normal_form as
select c.count_id, c.opening, c.standing, c.adjusted, s.shrink, s.found, s.opening as opened
from counts c join count_sums s using (count_id)
where case
    when c.opening then s.shrink <> 0 or s.found <> 0
    else s.opening <> 0 or s.shrink <> greatest(0, -c.adjusted) or s.found <> greatest(0, c.adjusted)
end;
comment on view v_count_is_in_normal_form is 'A count shows shrink and found at once, or an opening where there is none: the sums of what was lost and found are wrong. Report it.';

create view v_voided_count_adjusts_nothing as
select count_id, adjusted from counts where not standing and adjusted <> 0;
comment on view v_voided_count_adjusts_nothing is 'A count that was voided still adjusts stock. Report it.';

create view v_count_movement_fits_count as
select m.ledger_seq, m.ordinal, m.count_id, c.scope, m.from_place, m.to_place, m.occurred_at, c.counted_at
from movements m left join counts c using (count_id)
where (m.why = 'count') <> (m.count_id is not null)
    or (m.count_id is not null and (
        c.count_id is null or m.item_id <> c.item_id or m.location_id <> c.location_id or m.occurred_at <> c.counted_at
        or m.reverses is not null
        or case when c.scope = 'on_hand' then 'sellable' else c.scope end not in (m.from_place::text, m.to_place::text)
        or not (m.from_place in ('shrink', 'found', 'opening') or m.to_place in ('shrink', 'found', 'opening'))
    ));
comment on view v_count_movement_fits_count is 'A correction is not at the place, the bucket or the instant of its count. Report it.';

create view v_count_holds as
-- Which instant counts have the last word in their scope at their instant; then one running sum over each counted position,
-- movements of an instant before its counts.
with last_words as (
    select count_id, item_id, location_id, scope, counted_at, quantity
    from (
        select c.*,
            lead(count_id) over (partition by item_id, location_id, counted_at, scope order by source, key, line) is not null as followed,
            coalesce(bool_or(scope = 'on_hand') over later, false) as on_hand_later,
            lead(count_id) over (partition by item_id, location_id, counted_at order by source, key, line) is not null as any_later
        from counts c where standing
        window later as (partition by item_id, location_id, counted_at order by source, key, line rows between 1 following and unbounded following)
    ) c
    where started_at = counted_at and not followed and not (scope = 'sellable' and on_hand_later) and not (scope = 'on_hand' and any_later)
), steps as (
    select m.item_id, m.location_id, m.occurred_at as at, false as is_count, m.sellable, m.quarantine, m.damaged,
        null::bigint as count_id, null::text as scope, null::bigint as quantity
    from movement_effects m
    where exists (select from last_words w where w.item_id = m.item_id and w.location_id = m.location_id)
    union all
    select item_id, location_id, counted_at, true, 0, 0, 0, count_id, scope, quantity from last_words
), balances as (
    select item_id, location_id, at, count_id, scope, quantity,
        sum(sellable) over until as sellable, sum(quarantine) over until as quarantine, sum(damaged) over until as damaged
    from steps
    window until as (partition by item_id, location_id order by at, is_count rows unbounded preceding)
)
select count_id, item_id, location_id, scope, at as counted_at, quantity, sellable, quarantine, damaged
from balances
where count_id is not null
    and quantity <> case scope
        when 'sellable' then sellable when 'quarantine' then quarantine when 'damaged' then damaged
        else sellable + quarantine + damaged
    end;
comment on view v_count_holds is 'As of the instant of a count that stands, its bucket does not hold what was counted. Report it; count the item again to go on.';

create view v_last_count_is_marked as
select c.item_id, c.location_id, max(c.counted_at) as counted_at, p.last_counted_at
from counts c left join positions p using (item_id, location_id)
where c.standing
group by c.item_id, c.location_id, p.last_counted_at
having p.last_counted_at is null or p.last_counted_at < max(c.counted_at);
comment on view v_last_count_is_marked is 'A position does not know of its last count, so late facts will pass it by. Report it.';

create view v_count_conflict_is_shown as
with conflicts as (
    select item_id, location_id, scope, counted_at
    from counts where standing
    group by item_id, location_id, scope, counted_at
    having min(quantity) <> max(quantity)
), shown as (
    select exception_id, item_id, location_id, s[1] as scope, s[2]::timestamptz as counted_at
    from exceptions cross join regexp_match(subject, '^count:[0-9]+@[0-9]+:([a-z_]+):(.+)$') as s
    where code = 'count.conflict' and closed_at is null
)
select item_id, location_id, scope, counted_at, exception_id, c.item_id is not null as disagree
from conflicts c full join shown s using (item_id, location_id, scope, counted_at)
where c.item_id is null or s.item_id is null;
comment on view v_count_conflict_is_shown is 'Two counts of one instant disagree and no exception says so, or one says so of counts that agree. Report it.';

-- Transfers -----------------------------------------------------------------------------------------------------

create view v_transfer_is_sum as
-- Movements do not carry the name of their transfer; it stands in the event of their fact, or of the fact they take back.
with legs as (
    select f.body::json #>> '{data,transfer}' as transfer, m.item_id, l.location_id as from_location_id, m.location_id as to_location_id,
        case when m.from_place = 'transit' then m.quantity when m.to_place = 'transit' then -m.quantity else 0 end as shipped,
        case when m.from_place = 'in_transit' and m.to_place <> 'transit' then m.quantity
            when m.to_place = 'in_transit' and m.from_place <> 'transit' then -m.quantity else 0 end as received
    from movements m
    join facts f on f.fact_id = coalesce(m.reverses, m.fact_id) and f.type in ('TransferShipped.v1', 'TransferReceived.v1')
    join locations l on l.id = f.body::json #>> '{data,from}'
    where m.count_id is null and 'in_transit' in (m.from_place, m.to_place)
), sums as (
    select transfer, item_id, from_location_id, to_location_id, sum(shipped) as shipped, sum(received) as received
    from legs group by transfer, item_id, from_location_id, to_location_id
)
select transfer, item_id, from_location_id, to_location_id, t.shipped, t.received, s.shipped as shipped_sum, s.received as received_sum
from transfers t full join sums s using (transfer, item_id, from_location_id, to_location_id)
where t.transfer is null or (t.shipped, t.received) is distinct from (coalesce(s.shipped, 0), coalesce(s.received, 0));
comment on view v_transfer_is_sum is 'What is said to have been shipped or received under a transfer is not what its movements say. Report it.';

create view v_in_transit_is_owed as
select item_id, location_id, coalesce(p.in_transit, 0) as in_transit, coalesce(t.owed, 0) as owed
from (select item_id, location_id, in_transit from positions where in_transit <> 0) p
full join (
    select item_id, to_location_id as location_id, sum(shipped - received) as owed from transfers group by 1, 2
) t using (item_id, location_id)
where coalesce(p.in_transit, 0) <> coalesce(t.owed, 0);
comment on view v_in_transit_is_owed is 'The units on their way to a location are not those shipped there and not yet received. Report it.';

create view v_short_transfer_is_shown as
with short as (
    select concat_ws(':', 'transfer', transfer, item_id, from_location_id, to_location_id) as subject, shipped, received
    from transfers where received > 0 and received < shipped
), shown as (
    select subject, exception_id from exceptions where code = 'transfer.short' and closed_at is null
)
select subject, shipped, received, exception_id from short full join shown using (subject)
where shipped is null or exception_id is null;
comment on view v_short_transfer_is_shown is 'A transfer arrived in part and no exception says so, or one says so of a transfer that is complete. Report it.';

-- What waits, and what needs a person ---------------------------------------------------------------------------

create view v_negative_balance_is_shown as
with negative as (
    select item_id, location_id, 'stock.negative' as code from positions where least(sellable, quarantine, damaged) < 0
    union all
    select item_id, location_id, 'stock.in_transit_negative' from positions where in_transit < 0
), shown as (
    select item_id, location_id, code, exception_id from exceptions
    where code in ('stock.negative', 'stock.in_transit_negative') and closed_at is null
)
select item_id, location_id, code, exception_id, n.item_id is not null as is_negative
from negative n full join shown s using (item_id, location_id, code)
where n.item_id is null or s.exception_id is null;
comment on view v_negative_balance_is_shown is 'A balance is below zero and no exception says so, or one says so of a balance that is not. Report it.';

create view v_held_line_is_shown as
select h.fact_id, h.line_index, h.code, h.subject, h.exception_id
from held_lines h left join exceptions e on e.exception_id = h.exception_id and e.closed_at is null and e.code = h.code and e.subject = h.subject
where h.settled_at is null and e.exception_id is null;
comment on view v_held_line_is_shown is 'A line waits for something and no exception tells anybody. Report it.';

create view v_hold_is_of_lines as
select e.exception_id, e.code, e.subject
from exceptions e left join held_lines h on h.exception_id = e.exception_id and h.settled_at is null
where e.closed_at is null and h.fact_id is null
    and e.code in ('stock.unknown_item', 'stock.unknown_location', 'stock.unknown_uom', 'stock.too_precise', 'count.from_the_future',
        'quantity.not_positive', 'quantity.too_large', 'event.time');
comment on view v_hold_is_of_lines is 'An exception says that lines wait, and none does. Report it.';

create view v_waiting_is_counted as
select h.waiting, a.awaiting from ledger_head h cross join (select count(*) as awaiting from awaiting) a where h.waiting <> a.awaiting;
comment on view v_waiting_is_counted is 'The number of facts that wait for another is wrong, so one that comes may find nobody waiting. Report it.';

create view v_parked_fact_waits as
select fact_id, f.status, a.connection_id, a.key
from (select fact_id, status from facts where status = 'parked') f
full join (select fact_id, connection_id, key from awaiting where kind = 'void') a using (fact_id)
where f.fact_id is null or a.fact_id is null;
comment on view v_parked_fact_waits is 'A void is parked and waits for nothing, or waits and is not parked. Report it.';

create view v_awaited_fact_is_not_there as
select a.connection_id, a.key, a.kind, a.fact_id, f.fact_id as awaited_fact_id
from awaiting a join facts f using (connection_id, key);
comment on view v_awaited_fact_is_not_there is 'A fact waits for another that is already there: they passed each other. Void it and send it again under a new key, and report it.';

create view v_waiting_return_is_shown as
select a.fact_id, a.connection_id, a.key
from awaiting a left join exceptions e on e.code = 'return.without_sale' and e.subject = 'return:' || a.fact_id and e.closed_at is null
where a.kind = 'return' and e.exception_id is null;
comment on view v_waiting_return_is_shown is 'A return waits for its sale and no exception says so. Report it.';

create view v_stream_is_in_order as
select s.connection_id, s.stream, s.epoch, s.seen
from streams s
where cardinality(s.seen) = 0 or cardinality(s.seen) % 2 <> 0
    or exists (
        select from (select n, at, lag(n) over (order by at) as previous from unnest(s.seen) with ordinality as u(n, at)) x
        where x.previous is not null and case when x.at % 2 = 0 then x.n < x.previous else x.n <= x.previous + 1 end
    );
comment on view v_stream_is_in_order is 'The numbers seen of a stream are not ranges in order and apart, so gaps are wrong. Report it.';

create view v_gap_is_shown as
with gaps as (
    select concat_ws(':', 'stream', connection_id, stream, epoch) as subject, seen from streams where cardinality(seen) > 2
), shown as (
    select subject, exception_id from exceptions where code = 'source.sequence_gap' and closed_at is null
)
select subject, seen, exception_id from gaps full join shown using (subject) where seen is null or exception_id is null;
comment on view v_gap_is_shown is 'Numbers of a stream are missing and no exception says so, or one says so of a stream that is complete. Report it.';

create view v_key_conflict_is_shown as
select k.connection_id, k.key, k.exception_id, f.fact_id
from key_conflicts k
left join exceptions e on e.exception_id = k.exception_id and e.code = 'event.key_reused'
left join facts f on f.connection_id = k.connection_id and f.key = k.key
where e.exception_id is null or f.fact_id is null or f.body = k.body;
comment on view v_key_conflict_is_shown is 'Another content came under a used key, and its exception or the content that stands is missing, or both are the same. Report it.';

create view v_rejected_event_is_shown as
select r.rejected_id, r.exception_id from rejected_events r left join exceptions e using (exception_id) where e.exception_id is null;
comment on view v_rejected_event_is_shown is 'An event that a device sent was refused and kept, and no exception tells anybody. Report it.';

-- The runtime proves them too.
do $$
declare
    name text;
begin
    for name in
        select format('%I', relname) from pg_class
        where relnamespace = (select relnamespace from pg_class where oid = 'movements'::regclass) and relkind = 'v'
    loop
        execute 'grant select on ' || name || ' to evenstock_app';
    end loop;
end $$;
