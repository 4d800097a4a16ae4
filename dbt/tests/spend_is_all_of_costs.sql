-- The marts of spend add up to costs, to the last digit and in each currency: no join lost or doubled a charge.
with wanted as (

    select currency, sum(amount) as amount, count(*) as charges
    from {{ ref('stg_openai__costs') }}
    group by currency

),

found as (

    select 'spend_daily' as mart, currency, sum(amount) as amount, count(*) as charges
    from {{ ref('openai__spend_daily') }}
    group by currency
    {% for mart in ['project', 'api_key', 'user', 'model', 'line_item'] %}
    union all
    select 'spend_by_{{ mart }}' as mart, currency, sum(amount) as amount, sum(charges) as charges
    from {{ ref('openai__spend_by_' ~ mart) }}
    group by currency
    {% endfor %}

)

select found.mart, found.currency, wanted.amount as wanted, found.amount as found
from found
left join wanted on wanted.currency = found.currency
where wanted.currency is null
    or wanted.charges <> found.charges
    or coalesce(wanted.amount, 0) <> coalesce(found.amount, 0)

union all

select 'none' as mart, wanted.currency, wanted.amount as wanted, null as found
from wanted
left join found on found.currency = wanted.currency
where found.currency is null
