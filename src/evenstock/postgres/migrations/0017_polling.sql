-- Polling: how far each stream of a connection was read. Moved in the transaction that keeps what a page brought, so a place is never
-- ahead of what is durable.

create table polls (
    connection_id integer not null,
    stream text collate "C" not null,
    mark timestamptz not null,
    since timestamptz,
    after text collate "C",
    pages integer not null default 0 constraint pages_are_not_negative check (pages >= 0),
    revision bigint not null default 1,
    asked_at timestamptz not null,
    passed_at timestamptz,
    primary key (connection_id, stream),
    constraint page_is_of_a_pass check ((after is null and pages = 0) or since is not null)
);
comment on table polls is 'How far each stream that we ask a connection for was read. A pass is one question, page by page.';
comment on column polls.mark is 'What changed before was brought, by the system''s own clock; the next pass asks for it less an overlap.';
comment on column polls.since is 'What the pass under way asks for; null between two passes.';
comment on column polls.after is 'Where its next page begins, in the system''s own words; null before its first.';
comment on column polls.revision is 'Of the place: who moves it says from which, so that of two askers one is told to look again.';
comment on column polls.passed_at is 'When a pass was last ended.';

-- Grants --------------------------------------------------------------------------------------------------------

grant select, insert, update on polls to evenstock_app;
