-- When a system may be asked next, for whoever asks it: the operator's limit holds over telling it, asking it and looking at it.

create table turns (
    connection_id integer primary key,
    free_at timestamptz not null
);
comment on table turns is 'The next free turn of each connection that has a limit of calls; a call takes one before it leaves.';
comment on column connections.calls_per_s is 'At most so many calls a second, whatever they are for; null leaves it to what the system''s answers teach.';

grant select, insert, update on turns to evenstock_app;
