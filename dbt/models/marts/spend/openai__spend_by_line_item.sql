-- Spend of each UTC day and currency by line item.

{{ config(materialized = 'view') }}

{{ spend_by(['line_item', 'product', 'meter', 'model']) }}
