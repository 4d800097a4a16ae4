-- Every living key, of projects and of the organization, with what is wrong with it.
-- Ages are counted to the day of the last sync and not to today: an old lake does not make keys look older.
-- The API tells no rotation: a key that is older than `key_rotation_days` has, as a key, never been rotated.

with living as (

    select * from {{ ref('openai__dim_api_keys') }} where not is_deleted

),

last_read as (

    select {{ utc_date('max(last_synced_at)') }} as read_on from living

),

service_accounts as (

    select project_id, id as service_account_id
    from {{ ref('stg_openai__project_service_accounts') }}
    where not coalesce(_deleted, false)

),

spend as (

    select
        spend.api_key_id,
        spend.currency,
        sum(spend.amount) as amount
    from {{ ref('openai__spend_daily') }} as spend
    cross join last_read
    where {{ days_between('spend.usage_date', 'last_read.read_on') }} < 30
    group by 1, 2

),

aged as (

    select
        living.*,
        last_read.read_on,
        projects.project_name,
        projects.status as project_status,
        coalesce(living.owner_email, users.user_email) as known_owner_email,
        {{ days_between(utc_date('living.created_at'), 'last_read.read_on') }} as age_days,
        {{ days_between(utc_date('living.last_used_at'), 'last_read.read_on') }} as days_since_use,
        case
            when living.owner_project_access = 'inactive' then true
            when living.owner_type = 'user' then not coalesce(users.is_member, false)
            -- Accounts of admin keys are listed nowhere: nothing is known of them.
            when living.owner_type = 'service_account' and living.key_kind = 'project'
                then service_accounts.service_account_id is null
            else false
        end as is_owner_gone
    from living
    cross join last_read
    left join {{ ref('openai__dim_projects') }} as projects on projects.project_id = living.project_id
    left join {{ ref('openai__dim_users') }} as users on users.user_id = living.owner_id
    left join service_accounts
        on service_accounts.project_id = living.project_id
        and service_accounts.service_account_id = living.owner_id

),

judged as (

    select
        aged.*,
        last_used_at is null as is_never_used,
        -- A key without any use is unused once it is as old as a used one would have to be.
        coalesce(days_since_use, age_days) > {{ var('key_unused_days') }} as is_unused,
        age_days > {{ var('key_rotation_days') }} as is_never_rotated,
        expires_at is null as is_without_expiry,
        coalesce({{ utc_date('expires_at') }} < read_on, false) as is_expired,
        coalesce(project_status = 'archived', false) as is_project_archived
    from aged

)

select
    judged.api_key_id,
    judged.key_kind,
    judged.api_key_name,
    judged.redacted_value,
    judged.project_id,
    judged.project_name,
    judged.owner_type,
    judged.owner_id,
    judged.owner_name,
    judged.known_owner_email as owner_email,
    judged.created_at,
    judged.expires_at,
    judged.last_used_at,
    judged.age_days,
    judged.days_since_use,
    judged.is_never_used,
    judged.is_unused,
    judged.is_never_rotated,
    judged.is_owner_gone,
    judged.is_without_expiry,
    judged.is_expired,
    judged.is_project_archived,
    {% for finding in ['is_unused', 'is_never_rotated', 'is_owner_gone', 'is_project_archived'] -%}
    case when judged.{{ finding }} then 1 else 0 end{{ ' + ' if not loop.last }}
    {%- endfor %} as findings,
    spend.amount as spend_30_days_usd,
    judged.read_on as judged_on
from judged
left join spend on spend.api_key_id = judged.api_key_id and spend.currency = 'usd'
