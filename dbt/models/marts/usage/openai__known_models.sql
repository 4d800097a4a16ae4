-- Names of models that usage was reported of. A line item's product is a model when it is among them.

{{ config(materialized = 'view') }}

{% set tables = [
    'completions', 'decisions', 'embeddings', 'moderations', 'images', 'audio_speeches', 'audio_transcriptions'
] %}

{% for table in tables %}
select model from {{ ref('stg_openai__usage_' ~ table) }} where model is not null
{{ union_distinct() if not loop.last }}
{% endfor %}
