"""Snowflake, as far as fakesnow plays it."""
