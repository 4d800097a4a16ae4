-- How widely Codex is used: users of each workspace and ISO week, new ones, and those who stayed from the week earlier.

with weeks as (

    select * from {{ ref('openai__codex_user_weekly') }} where is_active

)

select
    weeks.workspace_id,
    weeks.week,
    count(distinct weeks.user_id) as active_users,
    {{ count_if('weeks.is_first_week') }} as new_users,
    {{ count_if('earlier.user_id is not null') }} as returning_users,
    {{ total('weeks.threads') }} as threads,
    {{ total('weeks.turns') }} as turns,
    {{ ratio('sum(weeks.turns)', 'count(distinct weeks.user_id)') }} as turns_per_active_user,
    sum(weeks.credits) as credits,
    sum(weeks.estimated_cost_usd) as estimated_cost_usd,
    {{ total('weeks.lines_committed') }} as lines_committed,
    {{ total('weeks.commits_with_codex') }} as commits_with_codex,
    {{ ratio('sum(weeks.commits_with_codex)', 'sum(weeks.commits)') }} as commit_share
from weeks
left join weeks as earlier
    on earlier.workspace_id = weeks.workspace_id
    and earlier.user_id = weeks.user_id
    and earlier.week = {{ week_before('weeks.week') }}
group by weeks.workspace_id, weeks.week
