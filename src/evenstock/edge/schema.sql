-- The store of an agent: what a shop reported, in the order it was taken, and what became of it. Times are UTC, ISO 8601.

create table agent (
    one integer primary key check (one = 1),
    epoch text not null,  -- of the numbers that the agent gives
    epoch_since text not null,
    epoch_why text not null,
    inode integer not null,  -- of this file, so that a copy is known for one
    alive_at text not null,
    contact_at text,  -- when a hub last answered
    offset_s real,  -- our clock ahead of the hub's
    offset_within_s real,
    trouble text,  -- why nothing is forwarded, in words
    trouble_since text,
    blocked integer not null default 0  -- whether a person must mend it
) strict;

create table events (
    n integer primary key autoincrement,  -- the order of taking, which is the order of sending; never given twice
    source text not null,
    id text not null,
    body blob not null,  -- canonical JSON, as it is sent
    origin text not null,  -- 'http', or the name of a file
    taken_at text not null,
    outcome text,  -- by the hub's word; null while it waits
    code text,
    detail text,
    pointer text,
    ledger_seq integer,
    answered_at text
) strict;
create index events_by_key on events (source, id);
create index events_waiting on events (n) where outcome is null;
create index events_answered on events (outcome, answered_at) where outcome is not null;

create table given (  -- the last number that the agent gave, in this epoch
    source text not null,
    stream text not null,
    last integer not null,
    primary key (source, stream)
) strict, without rowid;

create table told (  -- the numbers of tills that count themselves and name no epoch
    source text not null,
    stream text not null,
    epoch text not null,
    seen text not null,  -- ranges, as JSON
    restarts integer not null,
    primary key (source, stream)
) strict, without rowid;
