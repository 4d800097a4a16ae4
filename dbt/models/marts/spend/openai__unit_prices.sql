-- What one unit cost, as costs and quantities imply: by UTC day, line item, unit and currency.
-- `price_per_unit` divides by the quantity that the costs tell themselves; `price_per_million_usage` divides by what
-- the usage tables counted for the same model and meter. Prices are quotients, so floats; amounts stay exact.

with charged as (

    select
        usage_date,
        line_item,
        product,
        meter,
        model,
        quantity_unit,
        currency,
        case
            when quantity_unit = 'images' then 'images'
            when quantity_unit = 'characters' then 'characters'
            when quantity_unit like 'duration_%' then 'seconds'
            else meter
        end as usage_meter,
        sum(amount) as amount,
        sum(quantity) as quantity
    from {{ ref('openai__spend_daily') }}
    group by 1, 2, 3, 4, 5, 6, 7, 8

)

select
    charged.usage_date,
    charged.line_item,
    charged.product,
    charged.meter,
    charged.model,
    charged.currency,
    charged.amount,
    charged.quantity,
    charged.quantity_unit,
    {{ ratio('charged.amount', 'charged.quantity') }} as price_per_unit,
    counted.quantity as usage_quantity,
    counted.unit as usage_unit,
    1000000 * {{ ratio('charged.amount', 'counted.quantity') }} as price_per_million_usage
from charged
left join {{ ref('openai__usage_by_meter') }} as counted
    on counted.usage_date = charged.usage_date
    and counted.model = charged.model
    and counted.meter = charged.usage_meter
