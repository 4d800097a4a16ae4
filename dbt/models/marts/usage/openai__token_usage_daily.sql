-- Tokens and requests of each UTC day by operation, project, user, API key and model, with the shares that were
-- cached and that went through the Batch API. Service tiers and API sources are added up.

with counted as (

    {% for operation in ['completions', 'decisions'] %}
    select
        start_time, '{{ operation }}' as operation, project_id, user_id, api_key_id, model,
        coalesce(batch, false) as is_batch,
        input_tokens, input_cached_tokens, input_cache_write_tokens, output_tokens, num_model_requests
    from {{ ref('stg_openai__usage_' ~ operation) }}
    union all
    {% endfor %}
    {% for operation in ['embeddings', 'moderations'] %}
    select
        start_time, '{{ operation }}' as operation, project_id, user_id, api_key_id, model,
        false as is_batch,
        input_tokens, cast(0 as {{ type_of('int') }}) as input_cached_tokens,
        cast(0 as {{ type_of('int') }}) as input_cache_write_tokens,
        cast(0 as {{ type_of('int') }}) as output_tokens, num_model_requests
    from {{ ref('stg_openai__usage_' ~ operation) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

added_up as (

    select
        {{ utc_date('start_time') }} as usage_date,
        operation,
        project_id,
        user_id,
        api_key_id,
        model,
        {{ total('num_model_requests') }} as requests,
        {{ total('input_tokens') }} as input_tokens,
        {{ total('coalesce(input_cached_tokens, 0)') }} as input_cached_tokens,
        {{ total('coalesce(input_cache_write_tokens, 0)') }} as input_cache_write_tokens,
        {{ total('output_tokens') }} as output_tokens,
        {{ total('coalesce(input_tokens, 0) + coalesce(output_tokens, 0)') }} as total_tokens,
        {{ total('case when is_batch then coalesce(input_tokens, 0) + coalesce(output_tokens, 0) else 0 end') }} as batch_tokens,
        {{ total('case when is_batch then num_model_requests else 0 end') }} as batch_requests
    from counted
    group by 1, 2, 3, 4, 5, 6

)

select
    added_up.usage_date,
    added_up.operation,
    added_up.project_id,
    projects.project_name,
    added_up.user_id,
    users.user_name,
    users.user_email,
    added_up.api_key_id,
    api_keys.api_key_name,
    added_up.model,
    added_up.requests,
    added_up.input_tokens,
    added_up.input_cached_tokens,
    added_up.input_cache_write_tokens,
    added_up.output_tokens,
    added_up.total_tokens,
    added_up.batch_tokens,
    added_up.batch_requests,
    {{ ratio('added_up.input_cached_tokens', 'added_up.input_tokens') }} as cached_share,
    {{ ratio('added_up.batch_tokens', 'added_up.total_tokens') }} as batch_share
from added_up
left join {{ ref('openai__dim_projects') }} as projects on projects.project_id = added_up.project_id
left join {{ ref('openai__dim_users') }} as users on users.user_id = added_up.user_id
left join {{ ref('openai__dim_api_keys') }} as api_keys on api_keys.api_key_id = added_up.api_key_id
