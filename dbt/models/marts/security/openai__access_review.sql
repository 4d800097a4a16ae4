-- Who has which role where, and how: given to them, through a group, or by plain membership.
-- One row a principal, scope, project, role and way: somebody with a role twice is here twice, because taking one of
-- the two away leaves the other.
--
-- The API lists a user's roles with those of groups among them, and does not always say where they come from.
-- So a role counts as given directly when `assignment_sources` names the user, or when no group explains it.

with organization_through_groups as (

    select
        members.id as user_id,
        members.group_id,
        roles.id as role_id,
        roles.name as role_name,
        roles.permissions,
        roles.predefined_role
    from {{ ref('stg_openai__group_users') }} as members
    inner join {{ ref('stg_openai__group_role_assignments') }} as roles on roles.group_id = members.group_id

),

project_through_groups as (

    select
        roles.project_id,
        members.id as user_id,
        members.group_id,
        roles.id as role_id,
        roles.name as role_name,
        roles.permissions,
        roles.predefined_role
    from {{ ref('stg_openai__group_users') }} as members
    inner join {{ ref('stg_openai__project_group_role_assignments') }} as roles on roles.group_id = members.group_id

),

organization_explained as (

    select distinct user_id, role_id from organization_through_groups

),

project_explained as (

    select distinct project_id, user_id, role_id from project_through_groups

),

grants as (

    select
        'user' as principal_type,
        assigned.user_id as principal_id,
        'organization' as scope,
        cast(null as {{ type_of('string') }}) as project_id,
        assigned.id as role_id,
        assigned.name as role_name,
        assigned.permissions,
        assigned.predefined_role,
        'direct' as given,
        cast(null as {{ type_of('string') }}) as group_id
    from {{ ref('stg_openai__user_role_assignments') }} as assigned
    left join organization_explained as explained
        on explained.user_id = assigned.user_id and explained.role_id = assigned.id
    where explained.role_id is null or {{ names_principal('assigned.assignment_sources', 'assigned.user_id') }}

    union all

    select 'user', user_id, 'organization', cast(null as {{ type_of('string') }}), role_id, role_name, permissions,
        predefined_role, 'group', group_id
    from organization_through_groups

    union all

    select 'user', assigned.user_id, 'project', assigned.project_id, assigned.id, assigned.name, assigned.permissions,
        assigned.predefined_role, 'direct', cast(null as {{ type_of('string') }})
    from {{ ref('stg_openai__project_user_role_assignments') }} as assigned
    left join project_explained as explained
        on explained.project_id = assigned.project_id
        and explained.user_id = assigned.user_id
        and explained.role_id = assigned.id
    where explained.role_id is null or {{ names_principal('assigned.assignment_sources', 'assigned.user_id') }}

    union all

    select 'user', user_id, 'project', project_id, role_id, role_name, permissions, predefined_role, 'group', group_id
    from project_through_groups

    union all

    -- Memberships name a role without an id: what `users` and `project_users` tell, also where roles are not readable.
    select 'user', id, 'organization', cast(null as {{ type_of('string') }}), cast(null as {{ type_of('string') }}),
        role, cast(null as {{ type_of('json') }}), true, 'membership', cast(null as {{ type_of('string') }})
    from {{ ref('stg_openai__users') }}
    where not coalesce(_deleted, false)

    union all

    select 'user', id, 'project', project_id, cast(null as {{ type_of('string') }}), role,
        cast(null as {{ type_of('json') }}), true, 'membership', cast(null as {{ type_of('string') }})
    from {{ ref('stg_openai__project_users') }}

    union all

    select 'service_account', id, 'project', project_id, cast(null as {{ type_of('string') }}), role,
        cast(null as {{ type_of('json') }}), true, 'membership', cast(null as {{ type_of('string') }})
    from {{ ref('stg_openai__project_service_accounts') }}
    where not coalesce(_deleted, false)

)

select
    grants.principal_type,
    grants.principal_id,
    coalesce(users.user_name, service_accounts.name) as principal_name,
    users.user_email as principal_email,
    case when grants.principal_type = 'user' then coalesce(users.is_member, false) else true end as is_member,
    grants.scope,
    grants.project_id,
    projects.project_name,
    projects.status as project_status,
    grants.role_id,
    grants.role_name,
    grants.predefined_role as is_predefined_role,
    grants.permissions,
    grants.given,
    grants.group_id,
    organization_groups.name as group_name
from grants
left join {{ ref('openai__dim_users') }} as users on grants.principal_type = 'user' and users.user_id = grants.principal_id
left join {{ ref('stg_openai__project_service_accounts') }} as service_accounts
    on grants.principal_type = 'service_account'
    and service_accounts.id = grants.principal_id
    and service_accounts.project_id = grants.project_id
left join {{ ref('openai__dim_projects') }} as projects on projects.project_id = grants.project_id
left join {{ ref('stg_openai__groups') }} as organization_groups on organization_groups.id = grants.group_id
