-- A share lies between 0 and 1. One that does not says that the API counts in a way that these models do not know.
{{ config(severity = 'warn') }}

select cached_share as share from {{ ref('openai__token_usage_daily') }} where cached_share < 0 or cached_share > 1
union all
select batch_share as share from {{ ref('openai__token_usage_daily') }} where batch_share < 0 or batch_share > 1
union all
select commit_share as share from {{ ref('openai__codex_adoption_weekly') }} where commit_share < 0 or commit_share > 1
