-- Who is right about what (D8), enforced where facts come in and where numbers and postings go out.
--
-- What follows from the claims for a channel or for books is decided when claims, channels or connections change, by the same rule as
-- everywhere (core/owning), and kept beside them: the dispatcher looks at a column.

create table owners (
    domain text collate "C" not null constraint domain_is_known
        check (domain in ('item_master', 'location_master', 'stock_ledger', 'reservations', 'store_sales', 'availability', 'financial_stock')),
    scope text collate "C" not null,
    connection_id integer,
    since timestamptz not null,
    primary key (domain, scope)
);
comment on table owners is 'Who claims to be right about what: one claim for each scope of a domain.';
comment on column owners.scope is 'A location or channel; `everywhere`; or `default`, where no other claim says otherwise.';
comment on column owners.connection_id is 'The connection that is right about it; null: the hub itself.';

alter table channels add column withheld text collate "C";
comment on column channels.withheld is 'Why its numbers are not the hub''s to tell: the code of the exception that is open about it; null where they are.';
alter table books add column withheld text collate "C";
comment on column books.withheld is 'Why nothing may be posted to these books: the code of the exception that is open about it; null where it may.';

-- What must hold ------------------------------------------------------------------------------------------------

create view v_withheld_is_shown as
with withheld as (
    select withheld as code, 'owner:availability:' || id as about from channels where withheld is not null
    union all
    select b.withheld, 'owner:financial_stock:' || k.id from books b join connections k using (connection_id) where b.withheld is not null
), shown as (
    select code, subject from exceptions where closed_at is null and code in ('ownership.other', 'ownership.disputed')
        and (subject like 'owner:availability:%' or subject like 'owner:financial\_stock:%')
)
select coalesce(w.code, s.code) as code, coalesce(w.about, s.subject) as subject
from withheld w full join shown s on s.code = w.code and s.subject = w.about
where w.code is null or s.code is null;
comment on view v_withheld_is_shown is 'A system is not told what it is owed for who owns that, and no exception says so, or one says so and it is told. Report it.';

create view v_owner_is_there as
select o.domain, o.scope, o.connection_id
from owners o left join connections k using (connection_id)
where o.connection_id is not null and k.connection_id is null;
comment on view v_owner_is_there is 'Somebody owns a domain who is not there. Send the owners again.';

create view v_sale_is_of_its_owner as
select h.fact_id, h.line_index, h.code, h.subject
from held_lines h left join owners o on o.domain = 'store_sales'
where h.settled_at is null and h.code in ('ownership.other', 'ownership.disputed') and o.domain is null;
comment on view v_sale_is_of_its_owner is 'A sale waits for who owns store sales to be settled, and nobody claims them. Send the owners again: it is booked then.';

create or replace view v_hold_is_of_lines as
select e.exception_id, e.code, e.subject
from exceptions e left join held_lines h on h.exception_id = e.exception_id and h.settled_at is null
where e.closed_at is null and h.fact_id is null
    and (e.code in ('stock.unknown_item', 'stock.unknown_location', 'stock.unknown_uom', 'stock.too_precise', 'count.from_the_future',
        'quantity.not_positive', 'quantity.too_large', 'event.time')
        or (e.code in ('ownership.other', 'ownership.disputed') and e.subject like 'owner:store\_sales:%'));

-- Grants --------------------------------------------------------------------------------------------------------

grant select, insert, update, delete on owners to evenstock_app;
grant select on v_withheld_is_shown, v_owner_is_there, v_sale_is_of_its_owner to evenstock_app;
