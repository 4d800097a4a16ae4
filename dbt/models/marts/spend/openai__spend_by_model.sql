-- Spend of each UTC day and currency by model; null: charges of no known model.

{{ config(materialized = 'view') }}

{{ spend_by(['model']) }}
