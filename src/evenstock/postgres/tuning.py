"""How the embedded server is set: durable always, checkpoints far apart, memory by the machine.

Written on every start, so that a new release's settings reach old data folders. `ALTER SYSTEM` still wins over it.
"""

import os
from pathlib import Path
from typing import Final

MB: Final = 1024 * 1024
SHARED_BUFFERS_MIN_MB: Final = 128
SHARED_BUFFERS_MAX_MB: Final = 1024
SHARED_BUFFERS_PART: Final = 8  # one part in so many of the machine's memory
CONNECTIONS_MAX: Final = 60

CONFIGURATION: Final = """\
# Written by evenstock at every start; changes here are lost. Use ALTER SYSTEM for your own.
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket_folder}'
unix_socket_permissions = 0700
max_connections = {connections_max}

# What is acknowledged is on the disk.
fsync = on
full_page_writes = on
synchronous_commit = on

# Checkpoints far apart: after each, the first change of a page writes the whole page. Not compressed: the one algorithm that comes
# along, pglz, took two fifths of the pace of a ledger of ten million movements for as long as most changes were first ones.
wal_compression = off
max_wal_size = 8GB
min_wal_size = 1GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9

shared_buffers = {shared_buffers_mb}MB
effective_cache_size = {cache_mb}MB
work_mem = 16MB
maintenance_work_mem = 128MB
random_page_cost = 1.1
jit = off

# Positions and queues change all the time: clean a little, often.
autovacuum = on
autovacuum_naptime = 15s
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.05
autovacuum_vacuum_cost_limit = 2000

# Whoever opens a transaction and goes away holds locks, and keeps the cleaning from what is dead.
idle_in_transaction_session_timeout = 60s

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a '
log_checkpoints = on
log_lock_waits = on
log_min_duration_statement = 5s
log_parameter_max_length = 0
"""


def configuration(*, socket_folder: Path, port: int, shared_buffers_mb: int | None = None) -> str:
    """The text of the server's settings file."""
    memory_mb = machine_memory_mb()
    if shared_buffers_mb is None:
        shared_buffers_mb = min(
            max(memory_mb // SHARED_BUFFERS_PART, SHARED_BUFFERS_MIN_MB), SHARED_BUFFERS_MAX_MB
        )
    return CONFIGURATION.format(
        port=port,
        socket_folder=str(socket_folder).replace("'", "''"),
        connections_max=CONNECTIONS_MAX,
        shared_buffers_mb=shared_buffers_mb,
        cache_mb=max(memory_mb // 2, shared_buffers_mb),
    )


def machine_memory_mb() -> int:
    """The memory that we may use: the machine's, or the container's where that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
        memory = min(memory, int(text))
    return memory // MB
