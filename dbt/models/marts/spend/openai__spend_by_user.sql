-- Spend of each UTC day and currency by user; null: not attributed to one.

{{ config(materialized = 'view') }}

{{ spend_by(['user_id', 'user_name', 'user_email']) }}
