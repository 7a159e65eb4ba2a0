-- name: hear
-- Never back: several processes hear one source.
insert into heard (connection_id, heard_at, watermark)
select c, h, w from json_to_recordset($1::json) as t(c integer, h timestamptz, w timestamptz)
order by c
on conflict (connection_id) do update set heard_at = greatest(heard.heard_at, excluded.heard_at),
    watermark = greatest(heard.watermark, excluded.watermark);

-- name: every_source
-- All connections, as far as facts come from them.
select k.connection_id, k.id, k.connector, h.heard_at, h.watermark, k.expect_within_s, k.expected_since,
    s.asked_at, s.answered_at, coalesce(s.failures, 0) as failures, s.detail, coalesce(p.streams, '[]')::text as streams
from connections k left join heard h using (connection_id) left join sources s using (connection_id)
left join (
    select connection_id, json_agg(json_build_object('name', stream, 'read_until', mark, 'passed_at', passed_at, 'pages', pages) order by stream) as streams
    from polls group by connection_id
) p using (connection_id)
order by k.id;

-- name: silent
-- Who is said to be silent now.
select subject from exceptions where code = 'source.silent' and closed_at is null;
