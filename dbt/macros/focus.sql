{#- Words of FOCUS 1.2 (https://focus.finops.org). -#}


{#- A FOCUS column's name as the specification writes it. Quoted, or warehouses that fold case would lose it. -#}
{% macro focus(column) %}
    {{ return(adapter.quote(column)) }}
{% endmacro %}


{#- Units of the costs in FOCUS's unit format; one that is new comes as the API says it. -#}
{% macro focus_unit(unit) -%}
    case {{ unit }}
        when 'tokens' then 'Tokens'
        when '1000_tokens' then '1000 Tokens'
        when 'duration_seconds' then 'Seconds'
        when 'duration_minutes' then 'Minutes'
        when 'duration_hours' then 'Hours'
        when 'gibibyte_hours' then 'GiB-Hours'
        when 'images' then 'Images'
        when 'characters' then 'Characters'
        else {{ unit }}
    end
{%- endmacro %}


{#- What the user of these models has to say, as text; null when it is not said. -#}
{% macro said(value) %}
    {{ return("'" ~ (value | replace("'", "''")) ~ "'" if value else 'cast(null as ' ~ type_of('string') ~ ')') }}
{% endmacro %}
