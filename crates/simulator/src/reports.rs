//! The reports about usage and costs, as data: what each can be grouped by, what it
//! counts, and how its results are called.

use super::dimension::Dimension;
use super::ledger::Counting;
use super::report::Report;
use super::route::{Answer, Key, Route};

use Dimension::{
    ApiKey, ApiSource, Batch, ContextLevel, ImageSize, ImageSource, LineItem, Model, Project, ServiceTier, User,
    VectorStore,
};

/// Parameters of every report; the filters of its dimensions come on top.
pub(super) const PARAMETERS: [&str; 6] = ["start_time", "end_time", "bucket_width", "group_by", "limit", "page"];

pub(super) const ROUTES: &[Route] = &[
    report("costs", "/organization/costs", &COSTS),
    report("usage_completions", "/organization/usage/completions", &COMPLETIONS),
    report("usage_decisions", "/organization/usage/decisions", &DECISIONS),
    report("usage_embeddings", "/organization/usage/embeddings", &EMBEDDINGS),
    report("usage_moderations", "/organization/usage/moderations", &MODERATIONS),
    report("usage_images", "/organization/usage/images", &IMAGES),
    report("usage_audio_speeches", "/organization/usage/audio_speeches", &SPEECHES),
    report("usage_audio_transcriptions", "/organization/usage/audio_transcriptions", &TRANSCRIPTIONS),
    report("usage_vector_stores", "/organization/usage/vector_stores", &VECTOR_STORES),
    report("usage_code_interpreter_sessions", "/organization/usage/code_interpreter_sessions", &SESSIONS),
    report("usage_file_search_calls", "/organization/usage/file_search_calls", &FILE_SEARCHES),
    report("usage_web_search_calls", "/organization/usage/web_search_calls", &WEB_SEARCHES),
];

const fn report(table: &'static str, path: &'static str, report: &'static Report) -> Route {
    Route { table, path, key: Key::Admin, params: &[], fullest: "", answer: Answer::Report(report) }
}

const COMPLETION_COUNTS: &[&str] = &[
    "input_tokens",
    "input_cached_tokens",
    "input_cache_write_tokens",
    "input_cache_write_30m_tokens",
    "input_cache_write_12h_tokens",
    "input_uncached_tokens",
    "output_tokens",
    "input_text_tokens",
    "output_text_tokens",
    "input_cached_text_tokens",
    "input_audio_tokens",
    "input_cached_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "input_cached_image_tokens",
    "output_image_tokens",
    "num_model_requests",
];

const LANGUAGE_MODELS: &[&str] = &["gpt-5.2", "gpt-5-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-realtime"];

/// The costs once more, grouped by nothing.
pub(super) const TOTALS_TABLE: &str = "costs_totals";

pub(super) static COSTS: Report = Report {
    name: "costs",
    tag: "organization.costs.result",
    dimensions: &[Project, User, ApiKey, LineItem, ApiSource],
    unfiltered: &[User, ApiSource],
    counts: &["amount", "quantity"],
    models: &[],
    counting: Counting::Money,
    share: 1,
};

static COMPLETIONS: Report = Report {
    name: "completions",
    tag: "organization.usage.completions.result",
    dimensions: &[Project, User, ApiKey, Model, Batch, ServiceTier, ApiSource],
    unfiltered: &[ServiceTier, ApiSource],
    counts: COMPLETION_COUNTS,
    models: LANGUAGE_MODELS,
    counting: Counting::Completions,
    share: 1,
};

static DECISIONS: Report = Report {
    name: "decisions",
    tag: "organization.usage.decisions.result",
    dimensions: &[Project, User, ApiKey, Model, Batch, ServiceTier, ApiSource],
    unfiltered: &[ServiceTier, ApiSource],
    counts: COMPLETION_COUNTS,
    models: &["gpt-5.2", "gpt-5-mini"],
    counting: Counting::Completions,
    share: 6,
};

static EMBEDDINGS: Report = Report {
    name: "embeddings",
    tag: "organization.usage.embeddings.result",
    dimensions: &[Project, User, ApiKey, Model],
    unfiltered: &[],
    counts: &["input_tokens", "num_model_requests"],
    models: &["text-embedding-3-large", "text-embedding-3-small"],
    counting: Counting::Plain(2_000_000),
    share: 3,
};

static MODERATIONS: Report = Report {
    name: "moderations",
    tag: "organization.usage.moderations.result",
    dimensions: &[Project, User, ApiKey, Model],
    unfiltered: &[],
    counts: &["input_tokens", "num_model_requests"],
    models: &["omni-moderation-latest"],
    counting: Counting::Plain(50_000),
    share: 6,
};

static IMAGES: Report = Report {
    name: "images",
    tag: "organization.usage.images.result",
    dimensions: &[Project, User, ApiKey, Model, ImageSize, ImageSource],
    unfiltered: &[],
    counts: &["images", "num_model_requests"],
    models: &["gpt-image-1", "dall-e-3"],
    counting: Counting::Plain(40),
    share: 4,
};

static SPEECHES: Report = Report {
    name: "audio_speeches",
    tag: "organization.usage.audio_speeches.result",
    dimensions: &[Project, User, ApiKey, Model],
    unfiltered: &[],
    counts: &["characters", "num_model_requests"],
    models: &["gpt-4o-mini-tts", "tts-1-hd"],
    counting: Counting::Plain(90_000),
    share: 6,
};

static TRANSCRIPTIONS: Report = Report {
    name: "audio_transcriptions",
    tag: "organization.usage.audio_transcriptions.result",
    dimensions: &[Project, User, ApiKey, Model],
    unfiltered: &[],
    counts: &["seconds", "num_model_requests"],
    models: &["gpt-4o-transcribe", "whisper-1"],
    counting: Counting::Plain(3_600),
    share: 6,
};

static VECTOR_STORES: Report = Report {
    name: "vector_stores",
    tag: "organization.usage.vector_stores.result",
    dimensions: &[Project],
    unfiltered: &[],
    counts: &["usage_bytes"],
    models: &[],
    counting: Counting::Plain(8_000_000_000),
    share: 6,
};

static SESSIONS: Report = Report {
    name: "code_interpreter_sessions",
    tag: "organization.usage.code_interpreter_sessions.result",
    dimensions: &[Project],
    unfiltered: &[],
    counts: &["num_sessions"],
    models: &[],
    counting: Counting::Plain(30),
    share: 6,
};

/// The names of these results are not the names of their paths.
static FILE_SEARCHES: Report = Report {
    name: "file_search_calls",
    tag: "organization.usage.file_searches.result",
    dimensions: &[Project, User, ApiKey, VectorStore],
    unfiltered: &[],
    counts: &["num_requests"],
    models: &[],
    counting: Counting::Plain(200),
    share: 6,
};

static WEB_SEARCHES: Report = Report {
    name: "web_search_calls",
    tag: "organization.usage.web_searches.result",
    dimensions: &[Project, User, ApiKey, Model, ContextLevel, ApiSource],
    unfiltered: &[ApiSource],
    counts: &["num_model_requests", "num_requests"],
    models: &["gpt-5.2", "gpt-5-mini"],
    counting: Counting::Plain(60),
    share: 4,
};
