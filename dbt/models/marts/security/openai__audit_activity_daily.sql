-- The audit log counted: events of each UTC day by actor, type and project.

select
    event_date,
    event_type,
    event_object,
    is_sensitive,
    project_id,
    max(project_name) as project_name,
    actor_type,
    actor_id,
    max(actor_name) as actor_name,
    max(actor_email) as actor_email,
    count(*) as events,
    count(distinct ip_address) as ip_addresses,
    count(distinct country) as countries,
    min(effective_at) as first_at,
    max(effective_at) as last_at
from {{ ref('openai__audit_events') }}
group by event_date, event_type, event_object, is_sensitive, project_id, actor_type, actor_id
