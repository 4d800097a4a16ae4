-- Users by id. Those who left before the first sync are known only as owners of keys: they are here too, so that
-- last year's spend has a name.

with members as (

    select
        id as user_id,
        name as user_name,
        email as user_email,
        role as organization_role,
        is_service_account,
        not coalesce(_deleted, false) as is_member
    from {{ ref('stg_openai__users') }}

),

owners as (

    select
        owner_user_id as user_id,
        max(owner_user_name) as user_name,
        max(owner_user_email) as user_email
    from {{ ref('stg_openai__project_api_keys') }}
    where owner_user_id is not null
    group by owner_user_id

)

select * from members

union all

select
    owners.user_id,
    owners.user_name,
    owners.user_email,
    cast(null as {{ type_of('string') }}) as organization_role,
    cast(null as {{ type_of('bool') }}) as is_service_account,
    false as is_member
from owners
left join members on members.user_id = owners.user_id
where members.user_id is null
