-- Every event of the audit log with its actor in one place: who, by session or by key, on which project.

{{ config(materialized = 'view') }}

with events as (

    select
        logs.*,
        coalesce(actor_session_user_id, actor_api_key_user_id, actor_api_key_service_account_id) as actor_id,
        coalesce(actor_session_user_email, actor_api_key_user_email) as actor_email
    from {{ ref('stg_openai__audit_logs') }} as logs

)

select
    events.id as event_id,
    events.effective_at,
    {{ utc_date('events.effective_at') }} as event_date,
    events.type as event_type,
    case
        when events.type like 'tenant.%' then {{ dbt.concat(["'tenant.'", dbt.split_part('events.type', "'.'", 2)]) }}
        else {{ dbt.split_part('events.type', "'.'", 1) }}
    end as event_object,
    {#- Who may do what, with which key, from where: what a reviewer reads first. -#}
    {% set sensitive = [
        'api_key.%', 'tenant.admin_api_key.%', 'tenant.project_api_key.%', 'service_account.%', 'tenant.service_account.%',
        'role.%', 'tenant.role%', 'tenant.custom_role.%', 'tenant.resource_role_assignment.%', 'group.%', 'tenant.group.%',
        'user.%', 'invite.%', 'ip_allowlist.%', 'scim.%', 'tenant.scim.%', 'tenant.sso_connection.%', 'certificate%',
        'external_key.%', 'workload_identity%', 'tenant.workload_identity.%', 'login.failed', 'project.archived',
        'project.deleted', 'organization.updated', 'rate_limit.%'
    ] %}
    {% for pattern in sensitive -%}
    {{ '(' if loop.first }}events.type like '{{ pattern }}'{{ ' or ' if not loop.last else ')' }}
    {% endfor -%}
    as is_sensitive,
    events.project_id,
    coalesce(events.project_name, projects.project_name) as project_name,
    events.actor_type,
    events.actor_id,
    coalesce(users.user_name, service_accounts.name) as actor_name,
    coalesce(events.actor_email, users.user_email) as actor_email,
    events.actor_api_key_id,
    events.actor_session_ip_address as ip_address,
    events.actor_session_ip_address_details_country as country,
    events.actor_session_user_agent as user_agent,
    events.details
from events
left join {{ ref('openai__dim_projects') }} as projects on projects.project_id = events.project_id
left join {{ ref('openai__dim_users') }} as users on users.user_id = events.actor_id
left join (
    select id, max(name) as name
    from {{ ref('stg_openai__project_service_accounts') }}
    group by id
) as service_accounts on service_accounts.id = events.actor_id
