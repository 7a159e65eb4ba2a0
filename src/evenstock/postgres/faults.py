"""Which faults of the database mean what, for those who must not know the driver."""

import asyncio
from typing import Final

import asyncpg

# The session is gone; whether the last transaction was committed is not known.
CONNECTION_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # it was torn in the middle of an answer: "another operation is in progress"
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    OSError,
    asyncio.TimeoutError,
)
# Nothing was committed, and the same again may well go through.
TRANSIENT: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
)
# Another session holds what is to be changed, for longer than anybody should: to ask again in smaller parts waits as long for each.
HELD: Final = asyncpg.LockNotAvailableError
# Somebody else was first with what must be there once.
TAKEN: Final = asyncpg.UniqueViolationError
# Nothing can be written until somebody makes room.
FULL: Final = (asyncpg.InsufficientResourcesError, asyncpg.ReadOnlySQLTransactionError)
# What is stored is not what was written: a disk, a controller or a hand has changed it.
DAMAGED: Final = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)
ANY: Final = (asyncpg.PostgresError, *CONNECTION_LOST)
