-- When each source was last heard, and how often it is expected to be.

alter table connections add column expect_within_s integer constraint expectation_is_positive check (expect_within_s > 0),
    add column expected_since timestamptz;
comment on column connections.expect_within_s is 'A fact is expected of it this often; null: whenever it likes.';
comment on column connections.expected_since is 'When that was said: silence before does not count.';

create table heard (
    connection_id integer primary key,
    heard_at timestamptz not null,
    watermark timestamptz
);
comment on table heard is 'When facts of a connection last came, duplicates included. Written a moment after the facts: what a crash takes of it, the next fact brings back.';
comment on column heard.watermark is 'The latest time at which something happened that it told of, never ahead of when it told.';

grant select, insert, update on heard to evenstock_app;
