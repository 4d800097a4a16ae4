{#- Reading JSON text without a JSON function, which no two warehouses share. -#}


{#- Whether a JSON text names an id. Ids hold no quotes, so an id in quotes is that id and no part of another. -#}
{% macro names_principal(json, id) %}
    {{ return('coalesce(' ~ dbt.position(dbt.concat(["'\"'", id, "'\"'"]), json) ~ ', 0) > 0') }}
{% endmacro %}


{#- How many permissions of one role are taken apart. -#}
{% macro permission_places() %}
    {{ return(100) }}
{% endmacro %}


{#- The part of a text between its commas at a place that a column says: dbt's split_part wants a number. -#}
{% macro part_at(text, place) %}
    {{ return(adapter.dispatch('part_at', 'openai_elt')(text, place)) }}
{% endmacro %}

{% macro default__part_at(text, place) %}
    {{ return('split_part(' ~ text ~ ", ',', " ~ place ~ ')') }}
{% endmacro %}

{% macro bigquery__part_at(text, place) %}
    {{ return('split(' ~ text ~ ", ',')[safe_ordinal(" ~ place ~ ')]') }}
{% endmacro %}

{% macro clickhouse__part_at(text, place) %}
    {{ return("splitByChar(',', ifNull(" ~ text ~ ", ''))[" ~ place ~ ']') }}
{% endmacro %}
