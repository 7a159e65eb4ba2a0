-- name: policies
-- When the numbers of these channels may leave, and whose books release them.
select id, channel_id, publish_on, confirmed_by from channels where id = any ($1::text[]);

-- name: begin_confirming
-- From now on these books release a channel's numbers.
update channels c set confirmed_from = x.revision from exposing x where c.channel_id = $1;

-- name: kept_books
-- Connections that keep books, by id, and their flow.
select k.id, k.connection_id, k.flow from books b join connections k using (connection_id) where b.is_kept order by k.id;

-- name: waiting_for
-- Channels whose numbers are released by the books of these connections.
select c.id as channel, k.id as connection from channels c join connections k on k.connection_id = c.confirmed_by
where c.publish_on = 'erp_confirm' and k.id = any ($1::text[]) order by c.id;
