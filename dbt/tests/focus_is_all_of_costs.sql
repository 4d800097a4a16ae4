-- The FOCUS view adds up to costs, to the last digit, in all of its costs and in each currency.
with wanted as (

    select upper(currency) as currency, sum(amount) as amount, count(*) as charges
    from {{ ref('stg_openai__costs') }}
    where amount is not null
    group by 1

),

found as (

    select
        {{ focus('BillingCurrency') }} as currency,
        count(*) as charges,
        sum({{ focus('BilledCost') }}) as billed,
        sum({{ focus('EffectiveCost') }}) as effective,
        sum({{ focus('ContractedCost') }}) as contracted,
        sum({{ focus('ListCost') }}) as listed
    from {{ ref('openai__focus_costs') }}
    group by 1

)

select wanted.currency, wanted.amount, found.billed
from wanted
left join found on found.currency = wanted.currency
where found.currency is null
    or found.charges <> wanted.charges
    or found.billed <> wanted.amount
    or found.effective <> wanted.amount
    or found.contracted <> wanted.amount
    or found.listed <> wanted.amount
