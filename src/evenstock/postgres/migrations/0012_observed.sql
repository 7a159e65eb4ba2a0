-- What systems show when they are looked at: the fourth number of an exposure.

create table observed (
    channel_id integer not null,
    item_id integer not null,
    quantity bigint not null,
    observed_at timestamptz not null,
    strays integer not null default 0,
    primary key (channel_id, item_id)
);
comment on table observed is 'What a channel''s system showed when it was last looked at while it owed us nothing.';
comment on column observed.strays is 'Looks in a row at which that was not what the system had confirmed: somebody else writes there.';

create table observings (
    connection_id integer primary key,
    sampled_at timestamptz not null,
    passed_at timestamptz
);
comment on table observings is 'When each connection was last looked at: some of its numbers, and all of them.';

create view v_overwritten_exposure_is_shown as
with strays as (
    select 'exposure:' || channel_id || ':' || item_id as subject from observed where strays >= 3
), shown as (
    select subject from exceptions where code = 'exposure.overwritten' and closed_at is null
)
select coalesce(o.subject, e.subject) as subject
from strays o full join shown e on e.subject = o.subject
where o.subject is null or e.subject is null;
comment on view v_overwritten_exposure_is_shown is 'Somebody else writes a channel''s numbers and no exception says so, or one says so of what is settled. Report it.';

grant select, insert, update on observed, observings to evenstock_app;
grant select on v_overwritten_exposure_is_shown to evenstock_app;
