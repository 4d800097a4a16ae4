{#- Small expressions that several marts share. -#}


{#- A quotient as a float, null when the divisor is 0: shares and prices, never sums of money. -#}
{% macro ratio(dividend, divisor) %}
    {{ return('cast(' ~ dividend ~ ' as ' ~ type_of('float') ~ ') / nullif(cast(' ~ divisor ~ ' as ' ~ type_of('float') ~ '), 0)') }}
{% endmacro %}


{#- A line item is `<product>, <meter>` (`gpt-5.2, output`) or a product alone (`whisper-1`). -#}
{% macro product_of(line_item) %}
    {{ return('case when ' ~ line_item ~ " like '%, %' then " ~ dbt.split_part(line_item, "', '", 1) ~ ' else ' ~ line_item ~ ' end') }}
{% endmacro %}

{% macro meter_of(line_item) %}
    {{ return('case when ' ~ line_item ~ " like '%, %' then " ~ dbt.split_part(line_item, "', '", 2) ~ ' end') }}
{% endmacro %}


{#- A sum of counts as the integer that it is: left alone, warehouses make a decimal or a 128-bit integer of it. -#}
{% macro total(expression) %}
    {{ return('cast(sum(' ~ expression ~ ') as ' ~ type_of('int') ~ ')') }}
{% endmacro %}


{#- Rows of a condition. -#}
{% macro count_if(condition) %}
    {{ return(total('case when ' ~ condition ~ ' then 1 else 0 end')) }}
{% endmacro %}


{#- One spend mart: spend of a day by some columns of spend_daily. -#}
{% macro spend_by(columns) %}
select
    usage_date,
    {%- for column in columns %}
    {{ column }},
    {%- endfor %}
    currency,
    sum(amount) as amount,
    count(*) as charges,
    max(last_synced_at) as last_synced_at
from {{ ref('openai__spend_daily') }}
group by
    usage_date,
    {%- for column in columns %}
    {{ column }},
    {%- endfor %}
    currency
{% endmacro %}


{#- A union without repetitions: some warehouses want the word, others refuse it. -#}
{% macro union_distinct() %}
    {{ return('union distinct' if target.type in ['bigquery', 'clickhouse'] else 'union') }}
{% endmacro %}
