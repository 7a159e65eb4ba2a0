-- Postings and looks can be replayed too: what the books lack is sent again, what channels show is looked at again.

alter table replays drop constraint step_is_known;
alter table replays add constraint step_is_known check (step in ('translate', 'apply', 'dispatch', 'post', 'observe'));
alter table replay_items add column asked_at timestamptz;
comment on column replay_items.target is 'A message (translate), an item of channel_id (dispatch, observe) or a posting (post).';
comment on column replay_items.version is 'The number that a channel is told anew, or the posting that brings refused lines again.';

create table looks_asked (
    channel_id integer not null,
    item_id integer not null,
    asked_at timestamptz not null,
    primary key (channel_id, item_id)
);
comment on table looks_asked is 'What is to be looked at before its turn, because somebody asked.';

grant update (asked_at) on replay_items to evenstock_app;
grant select, insert, update, delete on looks_asked to evenstock_app;
