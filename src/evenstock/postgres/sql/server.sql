-- What the server is, before we trust it.

-- name: settings
SELECT
    current_setting('server_version_num')::integer AS version,
    current_setting('server_version') AS version_words,
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('server_encoding') AS encoding;
