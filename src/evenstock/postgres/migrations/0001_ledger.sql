-- The ledger, what it is about (masters), what came in (facts), and what needs a person (exceptions).
--
-- Rules that hold from here on: SQL is unqualified, the schema comes by search_path; time and random values are
-- parameters; identifiers collate "C"; the runtime role may not UPDATE or DELETE the ledger.

-- Masters -------------------------------------------------------------------------------------------------------

create table master_version (
    only_row boolean primary key default true constraint one_row check (only_row),
    version bigint not null default 0
);
comment on table master_version is 'Raised by every change of masters. Whoever holds a line for want of a master reads it FOR SHARE, so that no release is missed.';
insert into master_version default values;

create table connections (
    connection_id integer generated always as identity primary key,
    id text collate "C" not null constraint connection_id_is_unique unique,
    connector text not null default 'api',
    created_at timestamptz not null
);

create table items (
    item_id integer generated always as identity primary key,
    sku text collate "C" not null constraint sku_is_unique unique,
    name text,
    base_uom text collate "C" not null default 'EA',
    scale smallint not null default 0 constraint scale_in_range check (scale between 0 and 6),
    created_at timestamptz not null
);
comment on column items.scale is 'Quantities are integers of base_uom / 10^scale.';

create table item_uoms (
    item_id integer not null,
    uom text collate "C" not null,
    numerator bigint not null constraint numerator_positive check (numerator > 0),
    denominator bigint not null constraint denominator_positive check (denominator > 0),
    primary key (item_id, uom)
);

create table item_gtins (
    gtin text collate "C" primary key,
    item_id integer not null
);
create index item_gtins_by_item on item_gtins (item_id);

create table item_codes (
    connection_id integer not null,
    code text collate "C" not null,
    item_id integer not null,
    primary key (connection_id, code)
);
comment on table item_codes is 'The codes that a connection uses for our items.';
create index item_codes_by_item on item_codes (item_id);

create table locations (
    location_id integer generated always as identity primary key,
    id text collate "C" not null constraint location_id_is_unique unique,
    name text,
    type text not null default 'store',
    timezone text not null default 'UTC',
    region text collate "C",
    count_policy text not null default 'low' constraint count_policy_is_known check (count_policy in ('low', 'start', 'end')),
    created_at timestamptz not null
);

create table api_keys (
    key_id text collate "C" primary key,
    name text not null,
    secret_sha256 bytea not null,
    scopes text[] not null,
    connection_ids integer[] not null,
    device boolean not null default false,
    created_at timestamptz not null,
    revoked_at timestamptz
);
comment on column api_keys.device is 'A register or agent that cannot repair a refusal: its rejected events are kept under an exception.';

-- The ledger ----------------------------------------------------------------------------------------------------

create type place as enum (
    'sellable', 'quarantine', 'damaged', 'in_transit',
    'supplier', 'customer', 'transit', 'shrink', 'found', 'opening', 'disposed'
);

create table ledger_head (
    only_row boolean primary key default true constraint one_row check (only_row),
    ledger_seq bigint not null default 0,
    recorded_at timestamptz not null default 'epoch',
    parkings bigint not null default 0,
    waiting bigint not null default 0,
    tag text collate "C"
);
comment on table ledger_head is 'Locked from the numbering of a batch to its COMMIT, so that ledger_seq is commit order (D3).';
comment on column ledger_head.parkings is 'How often a fact was parked, ever; tells a writer that somebody began to wait while it worked.';
comment on column ledger_head.waiting is 'How many rows `awaiting` has; at zero nobody looks there.';
comment on column ledger_head.tag is 'The first half of the trace ids of this ledger.';
insert into ledger_head default values;

create sequence batch_ids as bigint cache 1;

create table batches (
    ledger_seq bigint primary key,
    batch_id bigint not null constraint batch_id_is_unique unique,
    recorded_at timestamptz not null
);
create index batches_by_recorded_at on batches (recorded_at);
comment on table batches is 'One row for each committed batch: when we knew. batch_id is given before the batch has its place in the order.';

create table facts (
    fact_id bigint generated always as identity primary key,
    batch_id bigint not null,
    connection_id integer not null,
    key text collate "C" not null,
    type text collate "C" not null,
    status text collate "C" not null constraint status_is_known check (status in ('applied', 'held', 'parked', 'ignored')),
    reason text collate "C",
    occurred_at timestamptz not null,
    time_basis text collate "C" not null constraint time_basis_is_known check (time_basis in ('source', 'received', 'skewed')),
    received_at timestamptz not null,
    trace_id text collate "C",
    body text not null,
    constraint fact_once unique (connection_id, key)
);
comment on table facts is 'Every accepted event once, as canonical JSON, by the identity its source gave it (D15).';
comment on column facts.trace_id is 'Given by the caller (traceparent); otherwise derived from fact_id.';
create index facts_by_trace on facts (trace_id) where trace_id is not null;

create table movements (
    ledger_seq bigint not null,
    ordinal integer not null,
    item_id integer not null,
    location_id integer not null,
    from_place place not null,
    to_place place not null,
    quantity bigint not null constraint quantity_is_sane check (quantity > 0 and quantity <= 1000000000000000),
    why text collate "C" not null,
    fact_id bigint not null,
    line text collate "C",
    count_id bigint,
    reverses bigint,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    primary key (ledger_seq, ordinal, recorded_at),
    constraint places_differ check (from_place <> to_place)
) partition by range (recorded_at);
comment on table movements is 'The ledger: append-only, what happened (occurred_at) and when we knew (ledger_seq, recorded_at).';
comment on column movements.fact_id is 'What made this movement necessary: its own fact, or the late one that re-based a count.';
comment on column movements.count_id is 'The count whose adjustment this is (why = count).';
comment on column movements.reverses is 'The fact whose movement this undoes, as if it had never been.';
create index movements_by_position on movements (item_id, location_id, occurred_at);
create table movements_default partition of movements default;

create table positions (
    item_id integer not null,
    location_id integer not null,
    sellable bigint not null default 0,
    quarantine bigint not null default 0,
    damaged bigint not null default 0,
    in_transit bigint not null default 0,
    reserved bigint not null default 0 constraint reserved_is_not_negative check (reserved >= 0),
    allocated bigint not null default 0 constraint allocated_is_not_negative check (allocated >= 0),
    last_counted_at timestamptz,
    primary key (item_id, location_id)
) with (fillfactor = 70);
comment on table positions is 'Running balances: always the fold of the ledger, changed by relative deltas only (C10).';
comment on column positions.last_counted_at is 'At or after the instant of every standing count; a delta after it is on time.';

create table counts (
    count_id bigint generated by default as identity primary key,
    fact_id bigint not null,
    source text collate "C" not null,
    key text collate "C" not null,
    line text collate "C" not null,
    item_id integer not null,
    location_id integer not null,
    scope text collate "C" not null constraint scope_is_known check (scope in ('sellable', 'quarantine', 'damaged', 'on_hand')),
    started_at timestamptz not null,
    counted_at timestamptz not null,
    quantity bigint not null constraint counted_is_not_negative check (quantity >= 0),
    opening boolean not null,
    adjusted bigint not null default 0,
    standing boolean not null default true,
    constraint count_once unique (fact_id, line),
    constraint started_before_counted check (started_at <= counted_at)
);
comment on column counts.adjusted is 'The sum of the count''s own movements, signed, in its bucket.';
create index counts_by_position on counts (item_id, location_id, counted_at);

create table voids (
    target_fact_id bigint primary key,
    void_fact_id bigint not null,
    goods text collate "C" not null constraint goods_is_known check (goods in ('never_left', 'came_back', 'count'))
);

create table transfers (
    transfer text collate "C" not null,
    item_id integer not null,
    from_location_id integer not null,
    to_location_id integer not null,
    shipped bigint not null default 0,
    received bigint not null default 0,
    primary key (transfer, item_id, from_location_id, to_location_id)
);

-- What waits, and what needs a person -----------------------------------------------------------------------------

create table awaiting (
    connection_id integer not null,
    key text collate "C" not null,
    fact_id bigint not null,
    kind text collate "C" not null constraint kind_is_known check (kind in ('void', 'return')),
    primary key (connection_id, key, fact_id)
);
comment on table awaiting is 'Facts that wait for the fact (connection_id, key).';

create table exceptions (
    exception_id bigint generated always as identity primary key,
    code text collate "C" not null,
    subject text collate "C" not null,
    connection_id integer,
    item_id integer,
    location_id integer,
    detail text not null,
    opened_at timestamptz not null,
    closed_at timestamptz
);
create unique index exception_open_once on exceptions (code, subject) where closed_at is null;
create index exceptions_by_position on exceptions (item_id, location_id) where item_id is not null;

create table held_lines (
    fact_id bigint not null,
    line_index integer not null,
    code text collate "C" not null,
    subject text collate "C" not null,
    exception_id bigint not null,
    occurred_at timestamptz not null,
    settled_at timestamptz,
    settled_seq bigint,
    primary key (fact_id, line_index)
);
comment on table held_lines is 'Lines that wait for a master. settled_seq: the batch that booked or dropped it.';
create index held_lines_waiting on held_lines (subject, occurred_at) where settled_at is null;
create index held_lines_by_exception on held_lines (exception_id) where settled_at is null;

create table key_conflicts (
    connection_id integer not null,
    key text collate "C" not null,
    body_sha256 bytea not null,
    body text not null,
    exception_id bigint not null,
    received_at timestamptz not null,
    primary key (connection_id, key, body_sha256)
);
comment on table key_conflicts is 'Other contents that came under a key already used. The first stands.';

create table rejected_events (
    rejected_id bigint generated always as identity primary key,
    key_id text collate "C" not null,
    code text collate "C" not null,
    detail text not null,
    body bytea not null,
    exception_id bigint not null,
    received_at timestamptz not null
);
comment on table rejected_events is 'What a device sent and cannot repair, byte for byte.';

create table streams (
    connection_id integer not null,
    stream text collate "C" not null,
    epoch text collate "C" not null,
    seen bigint[] not null,
    primary key (connection_id, stream, epoch)
);
comment on column streams.seen is 'Sequence numbers seen, as ranges: first, last, first, last, …';

create table imports (
    file_sha256 bytea not null,
    mapping_sha256 bytea not null,
    rows_done bigint not null,
    finished_at timestamptz,
    primary key (file_sha256, mapping_sha256)
);

-- Partitions: a month each. The runtime role cannot make them; this function, run as the owner, can. ---------------

create function ensure_movement_partitions(at timestamptz, months integer) returns void
language plpgsql security definer set search_path from current as $$
declare
    first date;
begin
    for i in 0..months loop
        first := (date_trunc('month', at at time zone 'UTC') + make_interval(months => i))::date;
        if to_regclass('movements_' || to_char(first, 'YYYY_MM')) is null then
            begin
                execute format('create table %I partition of movements for values from (%L) to (%L)',
                    'movements_' || to_char(first, 'YYYY_MM'),
                    first::text || ' 00:00:00+00',
                    (first + interval '1 month')::date::text || ' 00:00:00+00');
                execute format('grant select, insert on %I to evenstock_app', 'movements_' || to_char(first, 'YYYY_MM'));
            exception when duplicate_table or check_violation then
                null; -- another process made it, or the default partition already holds rows of that month
            end;
        end if;
    end loop;
end $$;
revoke all on function ensure_movement_partitions(timestamptz, integer) from public;

-- Grants: the ledger is append-only -----------------------------------------------------------------------------

grant execute on function ensure_movement_partitions(timestamptz, integer) to evenstock_app;
grant select on master_version, connections, items, item_uoms, item_gtins, item_codes, locations, api_keys, ledger_head, batches, facts,
    movements, movements_default, positions, counts, voids, transfers, awaiting, exceptions, held_lines, key_conflicts, rejected_events,
    streams, imports to evenstock_app;
grant usage on sequence batch_ids, counts_count_id_seq to evenstock_app;
grant insert on connections, items, item_uoms, item_gtins, item_codes, locations, api_keys, batches, facts, movements,
    positions, counts, voids, transfers, awaiting, exceptions, held_lines, key_conflicts, rejected_events, streams, imports to evenstock_app;
grant update on master_version, items, item_uoms, locations, api_keys, positions, transfers, exceptions, held_lines, streams, imports to evenstock_app;
grant update (ledger_seq, recorded_at, parkings, waiting, tag) on ledger_head to evenstock_app;
grant update (status, reason) on facts to evenstock_app;
grant update (adjusted, standing) on counts to evenstock_app;
grant delete on awaiting, item_uoms, item_gtins, item_codes to evenstock_app;
