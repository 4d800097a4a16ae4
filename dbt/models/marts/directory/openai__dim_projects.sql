-- Projects by id, archived and deleted ones too: costs go on naming them.

select
    id as project_id,
    name as project_name,
    status,
    residency,
    created_at,
    archived_at,
    coalesce(_deleted, false) as is_deleted
from {{ ref('stg_openai__projects') }}
