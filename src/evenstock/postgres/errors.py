"""One error for whoever runs the hub: the database cannot be used as it is, and what to do about it."""


class DatabaseUnfit(Exception):  # noqa: N818 - the database is unfit; nothing of ours went wrong
    """Stops a start. The message is for the operator: what, where, why, and what to do."""
