-- Codex use of each user and ISO week, by workspace: how much, with what, and since when.
-- Null tokens and lines are unknown, not 0: a week is null only when all of its days are.

with days as (

    select
        daily.*,
        {{ utc_date('daily.start_time') }} as usage_date,
        {{ week_of(utc_date('daily.start_time')) }} as week
    from {{ ref('stg_openai__codex_usage') }} as daily

),

clients as (

    select
        workspace_id,
        user_id,
        {{ week_of(utc_date('start_time')) }} as week,
        count(distinct client_id) as clients
    from {{ ref('stg_openai__codex_usage_clients') }}
    where coalesce(turns, 0) > 0
    group by 1, 2, 3

),

models as (

    select
        workspace_id,
        user_id,
        {{ week_of(utc_date('start_time')) }} as week,
        count(distinct model) as models
    from {{ ref('stg_openai__codex_usage_models') }}
    group by 1, 2, 3

),

weeks as (

    select
        workspace_id,
        user_id,
        week,
        max(actor_email) as actor_email,
        {{ count_if('coalesce(threads, 0) + coalesce(turns, 0) > 0') }} as active_days,
        {{ total('threads') }} as threads,
        {{ total('turns') }} as turns,
        sum(credits) as credits,
        sum(estimated_cost_usd) as estimated_cost_usd,
        sum(cost_usd) as cost_usd,
        {{ total('uncached_text_input_tokens') }} as uncached_text_input_tokens,
        {{ total('cached_text_input_tokens') }} as cached_text_input_tokens,
        {{ total('text_output_tokens') }} as text_output_tokens,
        {{ total('code_attribution_lines_added') }} as lines_added,
        {{ total('code_attribution_lines_removed') }} as lines_removed,
        {{ total('code_attribution_lines_committed') }} as lines_committed,
        {{ total('code_attribution_commits_with_codex_contribution') }} as commits_with_codex,
        {{ total('code_attribution_commits_total_commits') }} as commits
    from days
    group by 1, 2, 3

),

since as (

    select workspace_id, user_id, min(week) as first_active_week
    from weeks
    where active_days > 0
    group by 1, 2

)

select
    weeks.workspace_id,
    weeks.week,
    weeks.user_id,
    coalesce(users.user_name, by_email.user_name) as user_name,
    coalesce(weeks.actor_email, users.user_email) as user_email,
    weeks.active_days,
    weeks.active_days > 0 as is_active,
    since.first_active_week,
    coalesce(weeks.week = since.first_active_week, false) as is_first_week,
    weeks.threads,
    weeks.turns,
    clients.clients,
    models.models,
    weeks.credits,
    weeks.estimated_cost_usd,
    weeks.cost_usd,
    weeks.uncached_text_input_tokens,
    weeks.cached_text_input_tokens,
    weeks.text_output_tokens,
    weeks.lines_added,
    weeks.lines_removed,
    weeks.lines_committed,
    weeks.commits_with_codex,
    weeks.commits
from weeks
left join since on since.workspace_id = weeks.workspace_id and since.user_id = weeks.user_id
left join clients
    on clients.workspace_id = weeks.workspace_id and clients.user_id = weeks.user_id and clients.week = weeks.week
left join models
    on models.workspace_id = weeks.workspace_id and models.user_id = weeks.user_id and models.week = weeks.week
left join {{ ref('openai__dim_users') }} as users on users.user_id = weeks.user_id
left join (
    select lower(user_email) as user_email, max(user_name) as user_name
    from {{ ref('openai__dim_users') }}
    group by 1
) as by_email on by_email.user_email = lower(weeks.actor_email)
