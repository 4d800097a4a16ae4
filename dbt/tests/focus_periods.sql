-- A charge's day is not empty and lies in its billing period.
select *
from {{ ref('openai__focus_costs') }}
where {{ focus('ChargePeriodStart') }} >= {{ focus('ChargePeriodEnd') }}
    or {{ focus('BillingPeriodStart') }} > {{ focus('ChargePeriodStart') }}
    or {{ focus('BillingPeriodEnd') }} < {{ focus('ChargePeriodEnd') }}
