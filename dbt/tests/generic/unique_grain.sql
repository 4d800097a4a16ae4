{#- No two rows agree in all of these columns; null equals null. dbt's own `unique` looks at one column. -#}
{% test unique_grain(model, columns) %}
select
    {%- for column in columns %}
    {{ column }},
    {%- endfor %}
    count(*) as repetitions
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
