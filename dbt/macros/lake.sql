{#- Where the tables are, and what to do about one that is not there.

    With DuckDB and the var `lake`, sources are the Parquet files themselves; a plain glob is right at every instant.
    Else they are tables of a schema. Staging models know neither: they say staged('users', [...]). -#}


{#- The lake's address without a slash at its end, empty when sources are tables. sources.yml says the same. -#}
{% macro lake() %}
    {{ return((var('lake') or env_var('OPENAI_ELT_LAKE', '')).rstrip('/')) }}
{% endmacro %}


{#- A staging model: the columns of a table, typed, nothing renamed. `live_only` leaves tombstones out. -#}
{% macro staged(table, columns, live_only = false) %}
    {%- set relation = source('openai', table) -%}
    {%- if table_is_missing(relation, table) %}
select
    {%- for name, type in columns %}
    cast(null as {{ type_of(type) }}) as {{ named(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
from (select 1 as nothing) as nothing
where 1 = 0
    {%- else %}
select
    {%- for name, type in columns %}
    {{ typed(named(name), type) }} as {{ named(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
from {{ relation }}
where 1 = 1
        {%- if live_only %}
    and coalesce(_deleted, false) = false
        {%- endif %}
        {%- if table in var('history_tables') %}
    and _current
        {%- endif %}
    {%- endif %}
{% endmacro %}


{#- A table can be absent for good reasons: its surface has no key. That must not stop the marts of the others. -#}
{% macro table_is_missing(relation, table) %}
    {%- if not execute or var('missing_tables') != 'empty' -%}
        {{ return(false) }}
    {%- endif -%}
    {%- if target.type == 'duckdb' and lake() -%}
        {%- set pattern = lake() ~ '/' ~ table ~ '/**/*.parquet' -%}
        {%- set found = run_query("select count(*) from glob('" ~ pattern ~ "')").columns[0].values()[0] > 0 -%}
    {%- else -%}
        {%- set found = adapter.get_relation(relation.database, relation.schema, relation.identifier) is not none -%}
    {%- endif -%}
    {%- if not found -%}
        {{ log('openai_elt: there is no table ' ~ table ~ ', taken as empty', info = true) }}
    {%- endif -%}
    {{ return(not found) }}
{% endmacro %}
