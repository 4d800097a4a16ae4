{#- The program's types in each warehouse's words. Money is an exact decimal everywhere: never a float. -#}


{% macro type_of(type) %}
    {{ return(adapter.dispatch('type_of', 'openai_elt')(type)) }}
{% endmacro %}

{% macro default__type_of(type) %}
    {{ return({
        'string': dbt.type_string(),
        'json': dbt.type_string(),
        'int': dbt.type_bigint(),
        'float': 'double precision',
        'bool': dbt.type_boolean(),
        'decimal': 'numeric(38, 18)',
        'date': 'date',
        'timestamp': 'timestamp with time zone',
    }[type]) }}
{% endmacro %}

{% macro duckdb__type_of(type) %}
    {{ return({'float': 'double', 'decimal': 'decimal(38, 18)'}.get(type) or openai_elt.default__type_of(type)) }}
{% endmacro %}

{% macro snowflake__type_of(type) %}
    {{ return({'float': 'float', 'timestamp': 'timestamp_tz'}.get(type) or openai_elt.default__type_of(type)) }}
{% endmacro %}

{% macro bigquery__type_of(type) %}
    {{ return({'float': 'float64', 'decimal': 'bignumeric', 'timestamp': 'timestamp'}.get(type) or openai_elt.default__type_of(type)) }}
{% endmacro %}

{% macro spark__type_of(type) %}
    {{ return({'float': 'double', 'decimal': 'decimal(38, 18)', 'timestamp': 'timestamp'}.get(type) or openai_elt.default__type_of(type)) }}
{% endmacro %}

{#- `openai-elt schema` makes these three's timestamps without a zone: they are UTC. -#}
{% macro redshift__type_of(type) %}
    {{ return({'timestamp': 'timestamp'}.get(type) or openai_elt.default__type_of(type)) }}
{% endmacro %}

{% macro trino__type_of(type) %}
    {{ return({'float': 'double', 'decimal': 'decimal(38, 18)', 'timestamp': 'timestamp(6)'}.get(type) or openai_elt.default__type_of(type)) }}
{% endmacro %}

{% macro athena__type_of(type) %}
    {{ return({'float': 'double', 'decimal': 'decimal(38, 18)', 'timestamp': 'timestamp'}.get(type) or openai_elt.default__type_of(type)) }}
{% endmacro %}

{#- In ClickHouse a column is null only when its type says so. -#}
{% macro clickhouse__type_of(type) %}
    {{ return('Nullable(' ~ {
        'string': 'String',
        'json': 'String',
        'int': 'Int64',
        'float': 'Float64',
        'bool': 'Bool',
        'decimal': 'Decimal(38, 18)',
        'date': 'Date32',
        'timestamp': "DateTime64(6, 'UTC')",
    }[type] ~ ')') }}
{% endmacro %}


{#- A column as the type that it should have. JSON becomes text, whatever the warehouse keeps it as. -#}
{% macro typed(column, type) %}
    {{ return(adapter.dispatch('typed', 'openai_elt')(column, type)) }}
{% endmacro %}

{% macro default__typed(column, type) %}
    {{ return('cast(' ~ column ~ ' as ' ~ type_of(type) ~ ')') }}
{% endmacro %}


{#- A column's name, quoted where it is a word of SQL; Snowflake has made it upper case. -#}
{% macro named(column) %}
    {%- if column in ['default'] -%}
        {{ return(adapter.quote(column | upper if target.type == 'snowflake' else column)) }}
    {%- endif -%}
    {{ return(column) }}
{% endmacro %}
