-- What each principal may do, one permission a row: the roles of access_review taken apart.
-- Memberships name no permissions, so they are not here; where roles can be read, they stand there as roles too.
--
-- A JSON array of plain words is cut at its commas: every warehouse can do that, no two take arrays apart alike.
-- `places` bounds how many are taken; the test `permissions_fit` fails before one is lost.

with roles as (

    select
        access.*,
        replace(replace(replace(replace(permissions, '[', ''), ']', ''), '"', ''), ' ', '') as listed
    from {{ ref('openai__access_review') }} as access
    where permissions is not null

),

places as (

    {% for place in range(1, permission_places() + 1) -%}
    select {{ place }} as place{{ ' union all' if not loop.last }}
    {% endfor %}
),

parts as (

    select
        roles.*,
        {{ part_at('roles.listed', 'places.place') }} as permission
    from roles
    inner join places on places.place <= length(roles.listed) - length(replace(roles.listed, ',', '')) + 1

)

select
    principal_type,
    principal_id,
    principal_name,
    principal_email,
    scope,
    project_id,
    project_name,
    permission,
    role_id,
    role_name,
    given,
    group_id,
    group_name
from parts
where permission <> ''
