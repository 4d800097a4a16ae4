-- Spend of each UTC day and currency by API key and project; null: not attributed to a key, or from before costs were told by key.

{{ config(materialized = 'view') }}

{{ spend_by(['project_id', 'project_name', 'api_key_id', 'api_key_name', 'api_key_owner_name']) }}
