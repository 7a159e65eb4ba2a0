-- What comes in by itself: files that were delivered, and how each connection that we fetch from is doing.

create table files (
    file_id bigint generated always as identity primary key,
    connection_id integer not null,
    name text collate "C" not null,
    size bigint not null,
    sha256 bytea not null,
    status text collate "C" not null default 'reading' constraint status_is_known check (status in ('reading', 'done', 'quarantined')),
    rows bigint,
    outcomes jsonb not null default '{}',
    code text collate "C",
    detail text,
    taken_at timestamptz not null,
    done_at timestamptz,
    constraint file_once unique (connection_id, name, sha256)
);
comment on table files is 'Every file that was taken from a shelf, by its name and content, and what became of it. The same again is read again, and books nothing twice.';
comment on column files.rows is 'Rows below the header; null where it could not be read to the end.';
comment on column files.outcomes is 'How many events and rows ended how in the run that ended it: applied, duplicate, parked, held, rejected, skipped; resumed_after counts the rows of runs before it.';
comment on column files.detail is 'Why it is quarantined.';

create table sources (
    connection_id integer primary key,
    asked_at timestamptz,
    answered_at timestamptz,
    failures integer not null default 0,
    detail text
);
comment on table sources is 'Connections that we fetch from, and whether they answer.';
comment on column sources.failures is 'In a row, since the last answer.';

-- What must hold ------------------------------------------------------------------------------------------------

create view v_file_ends as
select file_id, connection_id, name, status, done_at, code
from files
where (status = 'reading') is distinct from (done_at is null)
    or (status = 'quarantined') is distinct from (code is not null);
comment on view v_file_ends is 'A file is neither being read, nor done, nor quarantined with a reason. Report it.';

grant select on v_file_ends to evenstock_app;
grant select, insert, update on files, sources to evenstock_app;
