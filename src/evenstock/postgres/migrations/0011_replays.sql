-- Replays: what is to be done again, planned before it is run, item by item; the settings that a connection had at any time; and
-- messages that were edited, beside what was received.

create table replays (
    replay_id bigint generated always as identity primary key,
    step text collate "C" not null constraint step_is_known check (step in ('translate', 'apply', 'dispatch')),
    verb text collate "C" not null constraint verb_is_known check (verb in ('failed', 'missing', 'all')),
    rules text collate "C" not null constraint rules_are_known check (rules in ('current', 'as_was')),
    reason text not null,
    rate_per_s integer not null constraint rate_is_positive check (rate_per_s > 0),
    status text collate "C" not null default 'planned'
        constraint status_is_known check (status in ('planned', 'running', 'paused', 'cancelled', 'done')),
    items integer not null,
    oldest_at timestamptz,
    effects jsonb not null,
    made_by text not null,
    made_at timestamptz not null,
    running_since timestamptz,
    asked_before integer not null default 0,
    ended_at timestamptz
);
comment on table replays is 'Each with the exact items that were planned, so that what is run is what was shown.';
comment on column replays.asked_before is 'How many items were asked before running_since: the rate counts from there.';
create index replays_running on replays (replay_id) where status = 'running';

create table replay_items (
    replay_id bigint not null,
    ordinal integer not null,
    target bigint,
    channel_id integer,
    subject text collate "C",
    status text collate "C" not null default 'waiting' constraint status_is_known check (status in ('waiting', 'asked', 'done', 'failed', 'skipped')),
    version bigint,
    outcome text,
    done_at timestamptz,
    primary key (replay_id, ordinal)
);
comment on column replay_items.target is 'A message (translate) or an item of channel_id (dispatch).';
comment on column replay_items.subject is 'What held lines wait for (apply).';
comment on column replay_items.version is 'The number that a channel is told anew.';
create index replay_items_open on replay_items (replay_id, status, ordinal) where status in ('waiting', 'asked');

create table replay_switch (
    only_row boolean primary key default true constraint one_row check (only_row),
    stopped boolean not null default false,
    changed_by text,
    changed_at timestamptz,
    reason text
);
comment on table replay_switch is 'The kill switch: while it is stopped no replay begins or goes on.';
insert into replay_switch default values;

create table connection_settings (
    connection_id integer not null,
    since timestamptz not null,
    connector text not null,
    settings jsonb not null,
    primary key (connection_id, since)
);
comment on table connection_settings is 'What a connection''s connector and settings were at any time; the last of an instant stands.';
insert into connection_settings select connection_id, created_at, connector, settings from connections;

alter table messages
    add column as_was boolean not null default false,
    add column edited_from bigint,
    add column replaced_by bigint,
    add column edited_by text,
    add column edit_reason text;
comment on column messages.as_was is 'Translate it with the settings that its connection had when it was received.';
comment on column messages.edited_from is 'The message as it was received, which this one was made from by hand; it is kept.';
comment on column messages.replaced_by is 'The edited message that speaks for this one.';

-- What must hold ----------------------------------------------------------------------------------------------------

create view v_replay_has_its_items as
select r.replay_id, r.items, count(i.ordinal) as found
from replays r left join replay_items i using (replay_id) group by r.replay_id having r.items <> count(i.ordinal);
comment on view v_replay_has_its_items is 'A replay does not have the items that were planned. Cancel it and plan again.';

create view v_ended_replay_leaves_nothing as
select r.replay_id, r.status, i.ordinal, i.status as item_status
from replays r join replay_items i using (replay_id)
where r.status = 'done' and i.status in ('waiting', 'asked');
comment on view v_ended_replay_leaves_nothing is 'A replay is done and some of its items are not. Plan another for them, and report it.';

create view v_replaced_message_is_there as
select m.message_id, m.replaced_by, e.edited_from, m.body is null as body_gone
from messages m left join messages e on e.message_id = m.replaced_by
where m.replaced_by is not null and (e.edited_from is distinct from m.message_id or m.body is null);
comment on view v_replaced_message_is_there is 'A message was edited, and what was received or the edit is gone. Restore it from a backup.';

create view v_settings_history_is_whole as
select c.connection_id, c.id from connections c
left join lateral (
    select s.connector, s.settings from connection_settings s where s.connection_id = c.connection_id order by s.since desc limit 1
) s on true
where c.settings <> '{}' and (c.connector, c.settings) is distinct from (s.connector, s.settings);
comment on view v_settings_history_is_whole is 'A connection''s settings are not the last that were kept, so a replay "as they were" would use others. Send the connection again.';

grant select, insert on replays, replay_items, connection_settings to evenstock_app;
grant update (status, running_since, asked_before, ended_at) on replays to evenstock_app;
grant update (status, version, outcome, done_at) on replay_items to evenstock_app;
grant select, update on replay_switch to evenstock_app;
grant update (connector, settings) on connection_settings to evenstock_app;
grant update (as_was, replaced_by) on messages to evenstock_app;
grant select on v_replay_has_its_items, v_ended_replay_leaves_nothing, v_replaced_message_is_there, v_settings_history_is_whole to evenstock_app;
