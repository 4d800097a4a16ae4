"""Are the table files still all that the API offers? See `__main__.py`."""
