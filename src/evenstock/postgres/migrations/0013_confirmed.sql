-- Numbers that wait for the books: with `erp_confirm` a channel is told a number once every posting behind it is acknowledged (D7).
--
-- A number that waits is kept with its place in the ledger, and so are the ones after it: what the books acknowledge releases the
-- newest number that they have reached, however busy the item is. What is released goes on as any other number.

alter table channels drop constraint publish_on_is_known;
alter table channels
    add column confirmed_by integer,
    add column is_confirmer_named boolean not null default false,
    add column confirmed_from bigint not null default 0,
    add constraint publish_on_is_known check (publish_on in ('hub_commit', 'erp_confirm', 'never')),
    add constraint erp_confirm_has_books check (confirmed_by is not null or publish_on <> 'erp_confirm');
comment on column channels.publish_on is 'When a number may leave: hub_commit, as soon as the ledger has it; erp_confirm, when the books have what is behind it; never, it is only computed (D7).';
comment on column channels.confirmed_by is 'The connection whose books release its numbers.';
comment on column channels.is_confirmer_named is 'The channel names that connection; otherwise it was the only one that kept books.';
comment on column channels.confirmed_from is 'The revision of exposures since which these books release them.';

create table exposure_waits (
    channel_id integer not null,
    item_id integer not null,
    since timestamptz not null,
    blocked_seq bigint,
    posting_id bigint,
    line integer,
    primary key (channel_id, item_id)
);
comment on table exposure_waits is 'Which channel waits for the books about which item, and for what: the first movement behind its number that they have not acknowledged.';
comment on column exposure_waits.blocked_seq is 'The ledger_seq of that movement; null until it is looked for.';
comment on column exposure_waits.posting_id is 'The posting that holds that movement, with the line; null until it is made.';

create table waiting_numbers (
    channel_id integer not null,
    item_id integer not null,
    ledger_seq bigint not null,
    connection_id integer,
    units bigint not null constraint units_are_not_negative check (units >= 0),
    computed_at timestamptz not null,
    because text collate "C" not null,
    trace_id text collate "C",
    rank smallint not null,
    primary key (channel_id, item_id, ledger_seq)
);
comment on table waiting_numbers is 'What a channel should see since a number of the ledger, and is not told before the books have acknowledged what is behind it.';
comment on column exposures.due_at is 'When it may be told; infinity while it waits for the books; null when the system has the number, or refused it.';

create index posting_lines_by_item on posting_lines (item_id, posting_id);
create index postings_open on postings (connection_id, posting_id) where status in ('owed', 'unknown', 'rejected');

create view posting_line_ends as
select l.posting_id, l.line, l.item_id, l.location_id, e.posting_id as stands_in, e.is_confirmed
from posting_lines l
cross join lateral (
    with recursive chain as (
        select l.posting_id, l.refused_code, l.carried_by
        union all
        select n.posting_id, n.refused_code, n.carried_by from chain c join posting_lines n on n.posting_id = c.carried_by and n.line = l.line
    )
    select p.posting_id, c.refused_code is null and p.status in ('done', 'partly', 'nothing', 'shadow') as is_confirmed
    from chain c join postings p using (posting_id) where c.carried_by is null
) e;
comment on view posting_line_ends is 'In which posting a line stands in the end, by itself or carried, and whether nothing of it is left to wait for: the books have it, or it is never sent.';

create view newest_waiting_numbers as
select distinct on (channel_id, item_id) * from waiting_numbers order by channel_id, item_id, ledger_seq desc;
comment on view newest_waiting_numbers is 'What a channel should see now, where it waits for the books.';

-- What must hold ------------------------------------------------------------------------------------------------

create or replace view exposure_not_marked as
select e.channel_id, e.item_id, e.connection_id, e.version, coalesce(n.units, e.intended) as intended, e.was, e.ledger_seq, e.computed_at, e.because, e.trace_id,
    e.revision, e.rank, e.due_at, e.tries, e.sent_version, e.sent, e.sent_at, e.unsettled, e.acked_version, e.acked, e.acked_at, e.refused_version
from exposures e
join channel_terms_now t using (channel_id)
join exposing x on t.ledger_seq <= x.ledger_seq
left join newest_waiting_numbers n using (channel_id, item_id)
left join exposure_refreshes f using (channel_id)
left join (
    select m.item_id from movements m join exposing x on m.ledger_seq > x.ledger_seq
    union
    select c.item_id from claim_entries c join exposing x on c.ledger_seq > x.ledger_seq
) changed using (item_id)
where f.channel_id is null and changed.item_id is null;

create view v_released_number_was_confirmed as
select e.channel_id, e.item_id, e.ledger_seq, m.ledger_seq as unconfirmed
from channels c
join exposures e using (channel_id)
join books b on b.connection_id = c.confirmed_by
cross join lateral (
    select t.location_ids from channel_terms t where t.channel_id = e.channel_id and t.ledger_seq <= e.ledger_seq order by t.ledger_seq desc limit 1
) t
join posting_effects m on m.item_id = e.item_id and m.location_id = any (t.location_ids) and m.ledger_seq > b.ledger_from and m.ledger_seq <= e.ledger_seq
left join posting_entries x on x.connection_id = b.connection_id and x.ledger_seq = m.ledger_seq and x.ordinal = m.ordinal
left join posting_line_ends s on s.posting_id = x.posting_id and s.line = x.line
where c.publish_on = 'erp_confirm' and e.revision > c.confirmed_from and e.due_at is distinct from 'infinity' and not coalesce(s.is_confirmed, false);
comment on view v_released_number_was_confirmed is 'A channel that waits for the books may be told what they have not acknowledged. Report it.';

create view v_waiting_number_is_kept as
select channel_id, item_id, w.since, n.ledger_seq, e.due_at
from exposure_waits w
full join newest_waiting_numbers n using (channel_id, item_id)
full join (select * from exposures where due_at = 'infinity') e using (channel_id, item_id)
where w.since is null or n.ledger_seq is null;
comment on view v_waiting_number_is_kept is 'A channel waits for the books and no number is kept for it, or one is kept and nothing releases it. Report it; changing the channel''s safety stock and back computes all of its numbers anew.';

-- Grants --------------------------------------------------------------------------------------------------------

grant select, insert, update, delete on exposure_waits, waiting_numbers to evenstock_app;
grant select on posting_line_ends, newest_waiting_numbers, v_released_number_was_confirmed, v_waiting_number_is_kept to evenstock_app;
