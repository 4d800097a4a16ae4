-- What the usage tables counted, by UTC day, model and meter, in the words of line items: tokens of a model's
-- `input`, `cached input` and `output`, images, characters, seconds. unit_prices divides costs by it.

{{ config(materialized = 'view') }}

{% set token_tables = ['completions', 'decisions'] %}
{% set input_tables = ['embeddings', 'moderations'] %}

with counted as (

    {% for table in token_tables %}
    select start_time, model, 'input' as meter, 'tokens' as unit,
        coalesce(input_uncached_tokens, input_tokens - coalesce(input_cached_tokens, 0) - coalesce(input_cache_write_tokens, 0)) as quantity
    from {{ ref('stg_openai__usage_' ~ table) }}
    union all
    select start_time, model, 'cached input' as meter, 'tokens' as unit, input_cached_tokens as quantity
    from {{ ref('stg_openai__usage_' ~ table) }}
    union all
    select start_time, model, 'output' as meter, 'tokens' as unit, output_tokens as quantity
    from {{ ref('stg_openai__usage_' ~ table) }}
    union all
    {% endfor %}
    {% for table in input_tables %}
    select start_time, model, 'input' as meter, 'tokens' as unit, input_tokens as quantity
    from {{ ref('stg_openai__usage_' ~ table) }}
    union all
    {% endfor %}
    select start_time, model, 'images' as meter, 'images' as unit, images as quantity
    from {{ ref('stg_openai__usage_images') }}
    union all
    select start_time, model, 'characters' as meter, 'characters' as unit, characters as quantity
    from {{ ref('stg_openai__usage_audio_speeches') }}
    union all
    select start_time, model, 'seconds' as meter, 'seconds' as unit, seconds as quantity
    from {{ ref('stg_openai__usage_audio_transcriptions') }}

)

select
    {{ utc_date('start_time') }} as usage_date,
    model,
    meter,
    unit,
    {{ total('quantity') }} as quantity
from counted
where model is not null
group by 1, 2, 3, 4
