//! What usage and costs can be grouped and filtered by.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Dimension {
    Project,
    User,
    ApiKey,
    Model,
    Batch,
    ServiceTier,
    ApiSource,
    LineItem,
    ImageSize,
    ImageSource,
    VectorStore,
    ContextLevel,
}

impl Dimension {
    pub(super) fn name(self) -> &'static str {
        match self {
            Dimension::Project => "project_id",
            Dimension::User => "user_id",
            Dimension::ApiKey => "api_key_id",
            Dimension::Model => "model",
            Dimension::Batch => "batch",
            Dimension::ServiceTier => "service_tier",
            Dimension::ApiSource => "api_source",
            Dimension::LineItem => "line_item",
            Dimension::ImageSize => "size",
            Dimension::ImageSource => "source",
            Dimension::VectorStore => "vector_store_id",
            Dimension::ContextLevel => "context_level",
        }
    }

    /// The parameter that filters by it.
    pub(super) fn filter(self) -> &'static str {
        match self {
            Dimension::Project => "project_ids",
            Dimension::User => "user_ids",
            Dimension::ApiKey => "api_key_ids",
            Dimension::Model => "models",
            Dimension::Batch => "batch",
            Dimension::ServiceTier => "service_tiers",
            Dimension::ApiSource => "api_sources",
            Dimension::LineItem => "line_items",
            Dimension::ImageSize => "sizes",
            Dimension::ImageSource => "sources",
            Dimension::VectorStore => "vector_store_ids",
            Dimension::ContextLevel => "context_levels",
        }
    }
}
