-- Keys of projects and of the organization by id, deleted ones too.
-- A key's id is unique in practice, but the API promises it within a project only: of two, the living and newer one.

with all_keys as (

    select
        id as api_key_id,
        'project' as key_kind,
        project_id,
        name as api_key_name,
        redacted_value,
        owner_type,
        coalesce(owner_user_id, owner_service_account_id) as owner_id,
        coalesce(owner_user_name, owner_service_account_name) as owner_name,
        owner_user_email as owner_email,
        owner_project_access,
        created_at,
        expires_at,
        last_used_at,
        coalesce(_deleted, false) as is_deleted,
        _synced_at as last_synced_at
    from {{ ref('stg_openai__project_api_keys') }}

    union all

    select
        id as api_key_id,
        'admin' as key_kind,
        cast(null as {{ type_of('string') }}) as project_id,
        name as api_key_name,
        redacted_value,
        owner_type,
        owner_id,
        owner_name,
        cast(null as {{ type_of('string') }}) as owner_email,
        cast(null as {{ type_of('string') }}) as owner_project_access,
        created_at,
        expires_at,
        last_used_at,
        coalesce(_deleted, false) as is_deleted,
        _synced_at as last_synced_at
    from {{ ref('stg_openai__admin_api_keys') }}

),

ranked as (

    select
        all_keys.*,
        row_number() over (
            partition by api_key_id
            order by case when is_deleted then 1 else 0 end, created_at desc, project_id
        ) as place
    from all_keys

)

select
    api_key_id,
    key_kind,
    project_id,
    api_key_name,
    redacted_value,
    owner_type,
    owner_id,
    owner_name,
    owner_email,
    owner_project_access,
    created_at,
    expires_at,
    last_used_at,
    is_deleted,
    last_synced_at
from ranked
where place = 1
