-- Counting by day loses no event and takes none twice.
select counted.events, listed.events as listed
from (select sum(events) as events from {{ ref('openai__audit_activity_daily') }}) as counted
cross join (select count(*) as events from {{ ref('stg_openai__audit_logs') }}) as listed
where coalesce(counted.events, 0) <> listed.events
