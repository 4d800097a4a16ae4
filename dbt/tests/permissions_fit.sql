-- No role has more permissions than access_permissions takes apart.
select role_id, permissions
from {{ ref('openai__access_review') }}
where length(permissions) - length(replace(permissions, ',', '')) + 1 > {{ permission_places() }}
