-- One id from the first byte to the acknowledgement: what came in under it, and the look-ups that follow it.

alter table messages add column trace_id text collate "C";
comment on column messages.trace_id is 'Given by the sender (traceparent); otherwise derived from message_id. The facts that come of it have the same.';
create index messages_by_trace on messages (trace_id) where trace_id is not null;

alter table reservations add column trace_id text collate "C";
comment on column reservations.trace_id is 'Given by the caller who made it (traceparent); otherwise derived from reservation_id.';
create index reservations_by_trace on reservations (trace_id) where trace_id is not null;

alter table facts add column ticket text collate "C";
comment on column facts.ticket is 'The number on the customer''s receipt, where the event has one.';
update facts set ticket = body::json #>> '{data,ticket}' where body like '%"ticket":%' and body not like '%\\u0000%';
create index facts_by_ticket on facts (ticket) where ticket is not null;

create index claim_entries_by_reservation on claim_entries (reservation_id, ledger_seq);
create index exposure_log_by_seq on exposure_log (channel_id, item_id, ledger_seq, version);
comment on index exposure_log_by_seq is 'Finds the first number that counts a movement in, however long ago that was.';
