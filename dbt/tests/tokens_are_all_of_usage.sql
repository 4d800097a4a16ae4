-- The token mart adds up to the usage tables.
with wanted as (

    {% for operation in ['completions', 'decisions', 'embeddings', 'moderations'] %}
    select '{{ operation }}' as operation, sum(input_tokens) as input_tokens, sum(num_model_requests) as requests
    from {{ ref('stg_openai__usage_' ~ operation) }}
    having count(*) > 0
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

found as (

    select operation, sum(input_tokens) as input_tokens, sum(requests) as requests
    from {{ ref('openai__token_usage_daily') }}
    group by operation

)

select wanted.operation
from wanted
left join found on found.operation = wanted.operation
where found.operation is null
    or coalesce(found.input_tokens, 0) <> coalesce(wanted.input_tokens, 0)
    or coalesce(found.requests, 0) <> coalesce(wanted.requests, 0)
