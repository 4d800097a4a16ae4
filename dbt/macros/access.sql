{#- Reading JSON text without a JSON function, which no two warehouses share. -#}


{#- Whether a JSON text names an id. Ids hold no quotes, so an id in quotes is that id and no part of another. -#}
{% macro names_principal(json, id) %}
    {{ return('coalesce(' ~ dbt.position(dbt.concat(["'\"'", id, "'\"'"]), json) ~ ', 0) > 0') }}
{% endmacro %}


{#- How many permissions of one role are taken apart. -#}
{% macro permission_places() %}
    {{ return(100) }}
{% endmacro %}
