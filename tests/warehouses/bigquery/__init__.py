"""BigQuery, as far as bqemulator plays it."""
