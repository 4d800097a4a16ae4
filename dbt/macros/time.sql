{#- Days and weeks. All days of the API are UTC days, whatever the session's time zone is. -#}


{#- The UTC day of a timestamp. -#}
{% macro utc_date(column) %}
    {{ return(adapter.dispatch('utc_date', 'openai_elt')(column)) }}
{% endmacro %}

{% macro default__utc_date(column) %}
    {{ return('cast((' ~ column ~ ') at time zone \'UTC\' as date)') }}
{% endmacro %}

{#- Timestamps without a zone, see type_of. -#}
{% macro redshift__utc_date(column) %}
    {{ return('cast(' ~ column ~ ' as date)') }}
{% endmacro %}

{% macro trino__utc_date(column) %}
    {{ return('cast(' ~ column ~ ' as date)') }}
{% endmacro %}

{% macro athena__utc_date(column) %}
    {{ return('cast(' ~ column ~ ' as date)') }}
{% endmacro %}

{% macro snowflake__utc_date(column) %}
    {{ return("to_date(convert_timezone('UTC', " ~ column ~ '))') }}
{% endmacro %}

{% macro bigquery__utc_date(column) %}
    {{ return('date(' ~ column ~ ", 'UTC')") }}
{% endmacro %}

{% macro spark__utc_date(column) %}
    {{ return('to_date(to_utc_timestamp(' ~ column ~ ', current_timezone()))') }}
{% endmacro %}

{% macro clickhouse__utc_date(column) %}
    {{ return('toDate(' ~ column ~ ", 'UTC')") }}
{% endmacro %}


{#- The Monday of a day's week (ISO 8601). -#}
{% macro week_of(day) %}
    {{ return(adapter.dispatch('week_of', 'openai_elt')(day)) }}
{% endmacro %}

{% macro default__week_of(day) %}
    {{ return('cast(' ~ dbt.date_trunc('week', day) ~ ' as date)') }}
{% endmacro %}

{#- Snowflake's and BigQuery's own week may begin on a Sunday. -#}
{% macro snowflake__week_of(day) %}
    {{ return('dateadd(day, 1 - dayofweekiso(' ~ day ~ '), ' ~ day ~ ')') }}
{% endmacro %}

{% macro bigquery__week_of(day) %}
    {{ return('date_trunc(' ~ day ~ ', isoweek)') }}
{% endmacro %}

{% macro clickhouse__week_of(day) %}
    {{ return('toMonday(' ~ day ~ ')') }}
{% endmacro %}


{#- Midnight UTC at which the month of a timestamp begins, as a timestamp; `next` for the month after. -#}
{% macro utc_month(column, next = false) %}
    {{ return(adapter.dispatch('utc_month', 'openai_elt')(column, next)) }}
{% endmacro %}

{% macro default__utc_month(column, next) %}
    {%- set month = dbt.date_trunc('month', utc_date(column)) -%}
    {%- if next %}{% set month = month_after(month) %}{% endif -%}
    {{ return(utc_midnight('cast(' ~ month ~ ' as date)')) }}
{% endmacro %}


{#- Midnight UTC at which a day begins. -#}
{% macro utc_midnight(day) %}
    {{ return(adapter.dispatch('utc_midnight', 'openai_elt')(day)) }}
{% endmacro %}

{% macro default__utc_midnight(day) %}
    {{ return('cast(' ~ day ~ ' as timestamp) at time zone \'UTC\'') }}
{% endmacro %}

{% macro redshift__utc_midnight(day) %}
    {{ return('cast(' ~ day ~ ' as timestamp)') }}
{% endmacro %}

{% macro trino__utc_midnight(day) %}
    {{ return('cast(' ~ day ~ ' as timestamp(6))') }}
{% endmacro %}

{% macro athena__utc_midnight(day) %}
    {{ return('cast(' ~ day ~ ' as timestamp)') }}
{% endmacro %}

{% macro snowflake__utc_midnight(day) %}
    {{ return("convert_timezone('UTC', 'UTC', cast(" ~ day ~ " as timestamp_ntz))::timestamp_tz") }}
{% endmacro %}

{% macro bigquery__utc_midnight(day) %}
    {{ return('timestamp(' ~ day ~ ", 'UTC')") }}
{% endmacro %}

{% macro spark__utc_midnight(day) %}
    {{ return('from_utc_timestamp(cast(' ~ day ~ ' as timestamp), current_timezone())') }}
{% endmacro %}

{% macro clickhouse__utc_midnight(day) %}
    {{ return('toDateTime64(' ~ day ~ ", 6, 'UTC')") }}
{% endmacro %}


{#- The first day of the month after a month's first day. Databricks' own dateadd wants a connection to write it. -#}
{% macro month_after(month) %}
    {{ return(adapter.dispatch('month_after', 'openai_elt')(month)) }}
{% endmacro %}

{% macro default__month_after(month) %}
    {{ return(dbt.dateadd('month', 1, month)) }}
{% endmacro %}

{% macro spark__month_after(month) %}
    {{ return('add_months(' ~ month ~ ', 1)') }}
{% endmacro %}


{#- The Monday before a Monday. -#}
{% macro week_before(monday) %}
    {{ return(adapter.dispatch('week_before', 'openai_elt')(monday)) }}
{% endmacro %}

{% macro default__week_before(monday) %}
    {{ return('cast(' ~ dbt.dateadd('day', -7, monday) ~ ' as date)') }}
{% endmacro %}

{% macro spark__week_before(monday) %}
    {{ return('date_sub(' ~ monday ~ ', 7)') }}
{% endmacro %}


{#- Days from one day to another. Databricks' own datediff wants a connection to write it. -#}
{% macro days_between(first, last) %}
    {{ return(adapter.dispatch('days_between', 'openai_elt')(first, last)) }}
{% endmacro %}

{% macro default__days_between(first, last) %}
    {{ return(dbt.datediff(first, last, 'day')) }}
{% endmacro %}

{% macro spark__days_between(first, last) %}
    {{ return('datediff(' ~ last ~ ', ' ~ first ~ ')') }}
{% endmacro %}
