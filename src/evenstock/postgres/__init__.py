"""Memory: what has happened, kept in PostgreSQL. The only package that talks to the driver."""
