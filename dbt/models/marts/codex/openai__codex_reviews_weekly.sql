-- Code reviews by Codex and how people answered them, by workspace and ISO week.
-- The API tells reviews by workspace only: there is no user to join. Reviews count on the day they were made,
-- answers on the day the pull request was merged: the two halves are not of the same pull requests.

with reviews as (

    select
        workspace_id,
        {{ week_of(utc_date('start_time')) }} as week,
        {{ total('pull_request_reviews') }} as reviews_made,
        {{ total('comments') }} as comments_made,
        {{ total('comment_details_p0') }} as comments_p0,
        {{ total('comment_details_p1') }} as comments_p1,
        {{ total('comment_details_p2') }} as comments_p2
    from {{ ref('stg_openai__codex_code_reviews') }}
    group by 1, 2

),

responses as (

    select
        workspace_id,
        {{ week_of(utc_date('start_time')) }} as week,
        {{ total('pull_request_reviews') }} as reviews_merged,
        {{ total('comments') }} as comments_merged,
        {{ total('comment_response_details_engaged') }} as comments_engaged,
        {{ total('comment_response_details_replied') }} as comments_replied,
        {{ total('comment_response_details_reacted') }} as comments_reacted,
        {{ total('comment_response_details_upvoted') }} as comments_upvoted,
        {{ total('comment_response_details_downvoted') }} as comments_downvoted,
        {{ total('replies') }} as replies,
        {{ total('reactions') }} as reactions
    from {{ ref('stg_openai__codex_code_review_responses') }}
    group by 1, 2

),

weeks as (

    select workspace_id, week from reviews
    {{ union_distinct() }}
    select workspace_id, week from responses

)

select
    weeks.workspace_id,
    weeks.week,
    reviews.reviews_made,
    reviews.comments_made,
    reviews.comments_p0,
    reviews.comments_p1,
    reviews.comments_p2,
    responses.reviews_merged,
    responses.comments_merged,
    responses.comments_engaged,
    responses.comments_replied,
    responses.comments_reacted,
    responses.comments_upvoted,
    responses.comments_downvoted,
    responses.replies,
    responses.reactions,
    {{ ratio('responses.comments_engaged', 'responses.comments_merged') }} as engaged_share,
    {{ ratio('responses.comments_upvoted', 'responses.comments_merged') }} as upvoted_share
from weeks
left join reviews on reviews.workspace_id = weeks.workspace_id and reviews.week = weeks.week
left join responses on responses.workspace_id = weeks.workspace_id and responses.week = weeks.week
