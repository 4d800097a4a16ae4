-- Spend of each UTC day and currency by project; null: not attributed to one.

{{ config(materialized = 'view') }}

{{ spend_by(['project_id', 'project_name']) }}
