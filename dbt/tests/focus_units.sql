-- A quantity has a unit, a unit has a quantity, and an id has its type (FOCUS 1.2: PricingUnit, ConsumedUnit,
-- SubAccountType, SubAccountName, ResourceType).
select *
from {{ ref('openai__focus_costs') }}
where ({{ focus('PricingQuantity') }} is null) <> ({{ focus('PricingUnit') }} is null)
    or ({{ focus('ConsumedQuantity') }} is null) <> ({{ focus('ConsumedUnit') }} is null)
    or ({{ focus('SubAccountId') }} is null) <> ({{ focus('SubAccountType') }} is null)
    or ({{ focus('SubAccountId') }} is null) <> ({{ focus('SubAccountName') }} is null)
    or ({{ focus('ResourceId') }} is null) <> ({{ focus('ResourceType') }} is null)
    or ({{ focus('SkuId') }} is null and {{ focus('SkuMeter') }} is not null)
