-- Every charge of `costs` once, with the names of what it names. Grain: that of `costs`.
-- The sum of `amount` equals the sum in `costs` to the last digit: all joins are to one row at most.

with costs as (

    select
        costs.*,
        {{ utc_date('start_time') }} as usage_date,
        {{ product_of('line_item') }} as product,
        {{ meter_of('line_item') }} as meter
    from {{ ref('stg_openai__costs') }} as costs

),

last_read as (

    select {{ utc_date('max(_synced_at)') }} as read_on from {{ ref('stg_openai__costs') }}

)

select
    costs.usage_date,
    costs.project_id,
    projects.project_name,
    costs.user_id,
    users.user_name,
    users.user_email,
    costs.api_key_id,
    api_keys.api_key_name,
    api_keys.owner_name as api_key_owner_name,
    costs.line_item,
    costs.product,
    costs.meter,
    known_models.model,
    costs.api_source,
    costs.currency,
    costs.amount,
    costs.quantity,
    costs.quantity_unit,
    {{ days_between('costs.usage_date', 'last_read.read_on') }} <= 3 as is_provisional,
    costs._synced_at as last_synced_at
from costs
cross join last_read
left join {{ ref('openai__dim_projects') }} as projects on projects.project_id = costs.project_id
left join {{ ref('openai__dim_users') }} as users on users.user_id = costs.user_id
left join {{ ref('openai__dim_api_keys') }} as api_keys on api_keys.api_key_id = costs.api_key_id
left join {{ ref('openai__known_models') }} as known_models on known_models.model = costs.product
