-- What fails is tried again within a budget, so that retries do not keep what is new from a system that is half up (reliability V-E5).

alter table lanes add column retries double precision not null default 0 constraint retries_are_not_negative check (retries >= 0);
comment on column lanes.retries is 'How many retries it may be sent before what waits to be sent for the first time: it earns one with each ten of those.';
