-- `costs` as a FOCUS 1.2 Cost and Usage dataset: one row a charge, all columns of the specification in its spelling,
-- then our own with the prefix x_. What OpenAI does not tell is null; docs/models.md says column by column why.
--
-- The costs tell one amount, what was charged. No discount, price list or commitment is told, so billed, effective,
-- contracted and list cost are that amount, as the specification asks where unit prices are not known.
-- A row without an amount is no charge and is left out.

{{ config(materialized = 'view') }}

{%- set unknown = {
    'AvailabilityZone': 'string',
    'CapacityReservationId': 'string',
    'CapacityReservationStatus': 'string',
    'ChargeClass': 'string',
    'CommitmentDiscountCategory': 'string',
    'CommitmentDiscountId': 'string',
    'CommitmentDiscountName': 'string',
    'CommitmentDiscountQuantity': 'decimal',
    'CommitmentDiscountStatus': 'string',
    'CommitmentDiscountType': 'string',
    'CommitmentDiscountUnit': 'string',
    'ContractedUnitPrice': 'decimal',
    'InvoiceId': 'string',
    'ListUnitPrice': 'decimal',
    'PricingCurrencyContractedUnitPrice': 'decimal',
    'PricingCurrencyListUnitPrice': 'decimal',
    'RegionId': 'string',
    'RegionName': 'string',
    'SkuPriceDetails': 'string',
    'Tags': 'string',
} %}

{%- set told = {
    'BilledCost': 'costs.amount',
    'BillingAccountId': said(var('organization_id') or env_var('OPENAI_ORGANIZATION_ID', '')),
    'BillingAccountName': said(var('organization_name')),
    'BillingAccountType': "'Organization'",
    'BillingCurrency': 'upper(costs.currency)',
    'BillingPeriodEnd': utc_month('costs.start_time', next = true),
    'BillingPeriodStart': utc_month('costs.start_time'),
    'ChargeCategory': "'Usage'",
    'ChargeDescription': "coalesce(costs.line_item, 'OpenAI API usage')",
    'ChargeFrequency': "'Usage-Based'",
    'ChargePeriodEnd': 'costs.end_time',
    'ChargePeriodStart': 'costs.start_time',
    'ConsumedQuantity': 'case when costs.quantity_unit is not null then costs.quantity end',
    'ConsumedUnit': 'case when costs.quantity is not null then ' ~ focus_unit('costs.quantity_unit') ~ ' end',
    'ContractedCost': 'costs.amount',
    'EffectiveCost': 'costs.amount',
    'InvoiceIssuerName': said(var('invoice_issuer')),
    'ListCost': 'costs.amount',
    'PricingCategory': "'Standard'",
    'PricingCurrency': 'upper(costs.currency)',
    'PricingCurrencyEffectiveCost': 'costs.amount',
    'PricingQuantity': 'case when costs.quantity_unit is not null then costs.quantity end',
    'PricingUnit': 'case when costs.quantity is not null then ' ~ focus_unit('costs.quantity_unit') ~ ' end',
    'ProviderName': "'OpenAI'",
    'PublisherName': "'OpenAI'",
    'ResourceId': 'costs.api_key_id',
    'ResourceName': 'api_keys.api_key_name',
    'ResourceType': "case when costs.api_key_id is not null then 'API Key' end",
    'ServiceCategory': "'AI and Machine Learning'",
    'ServiceName': "'OpenAI API'",
    'ServiceSubcategory': "'Generative AI'",
    'SkuId': 'costs.line_item',
    'SkuMeter': 'coalesce(' ~ meter_of('costs.line_item') ~ ', costs.line_item)',
    'SkuPriceId': 'costs.line_item',
    'SubAccountId': 'costs.project_id',
    'SubAccountName': 'coalesce(projects.project_name, costs.project_id)',
    'SubAccountType': "case when costs.project_id is not null then 'Project' end",
} %}

select
    {%- for column in (told.keys() | list + unknown.keys() | list) | sort %}
    {{ told.get(column) or 'cast(null as ' ~ type_of(unknown[column]) ~ ')' }} as {{ focus(column) }},
    {%- endfor %}
    costs.user_id as {{ focus('x_UserId') }},
    users.user_name as {{ focus('x_UserName') }},
    users.user_email as {{ focus('x_UserEmail') }},
    costs.api_source as {{ focus('x_ApiSource') }},
    {{ product_of('costs.line_item') }} as {{ focus('x_Product') }},
    projects.residency as {{ focus('x_ProjectResidency') }}
from {{ ref('stg_openai__costs') }} as costs
left join {{ ref('openai__dim_projects') }} as projects on projects.project_id = costs.project_id
left join {{ ref('openai__dim_users') }} as users on users.user_id = costs.user_id
left join {{ ref('openai__dim_api_keys') }} as api_keys on api_keys.api_key_id = costs.api_key_id
where costs.amount is not null
