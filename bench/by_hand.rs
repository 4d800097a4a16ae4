//! The limit: the same pages into Parquet by code that is written for each shape and knows nothing else.
//!
//! Typed members read with sonic-rs, borrowed from the page; one Arrow builder
//! for each; zstd 1; all columns of the table, filled or not. It has no table files, no `_extra`, no redaction, no
//! misfits, no repeated rows: what somebody would write who may assume that
//! the pages never change.

use std::error::Error;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, new_null_array};
use arrow_schema::DataType;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::Deserialize;
use sonic_rs::LazyValue;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Rows that are encoded together.
const BATCH: usize = 8_192;

/// Columns of the tables that these pages never fill. They are written all the same: the objects are to
/// have the same columns as the program's.
const ABSENT_USERS: &[(&str, DataType)] = &[
    ("user_picture", DataType::Utf8),
    ("user_banned_at", DataType::Int64),
    ("is_scale_tier_authorized_purchaser", DataType::Boolean),
    ("technical_level", DataType::Utf8),
    ("developer_persona", DataType::Utf8),
    ("projects_object", DataType::Utf8),
    ("projects_data", DataType::Utf8),
    ("_deleted", DataType::Boolean),
    ("_extra", DataType::Utf8),
];
const ABSENT_USAGE: &[(&str, DataType)] = &[
    ("api_source", DataType::Utf8),
    ("input_cache_write_tokens", DataType::Int64),
    ("input_cache_write_30m_tokens", DataType::Int64),
    ("input_cache_write_12h_tokens", DataType::Int64),
    ("input_uncached_tokens", DataType::Int64),
    ("input_text_tokens", DataType::Int64),
    ("output_text_tokens", DataType::Int64),
    ("input_cached_text_tokens", DataType::Int64),
    ("input_audio_tokens", DataType::Int64),
    ("input_cached_audio_tokens", DataType::Int64),
    ("output_audio_tokens", DataType::Int64),
    ("input_image_tokens", DataType::Int64),
    ("input_cached_image_tokens", DataType::Int64),
    ("output_image_tokens", DataType::Int64),
    ("_extra", DataType::Utf8),
];
const ABSENT_AUDIT: &[(&str, DataType)] =
    &[("object", DataType::Utf8), ("actor_api_key_service_account_id", DataType::Utf8), ("_extra", DataType::Utf8)];

/// Builders by name, and the batch that they make.
macro_rules! columns {
    ($name:ident, $absent:expr, { $($column:ident: $builder:ty,)* }) => {
        #[derive(Default)]
        struct $name { $($column: $builder,)* }

        impl $name {
            fn take(&mut self) -> Outcome<RecordBatch> {
                let arrays = [$((stringify!($column), Arc::new(self.$column.finish()) as ArrayRef, true),)*];
                let rows = arrays[0].1.len();
                let absent = $absent.iter().map(|(name, kind)| (*name, new_null_array(kind, rows), true));
                let now = Arc::new(TimestampMicrosecondArray::from_value(0, rows)) as ArrayRef;
                let all = arrays.into_iter().chain(absent).chain([("_synced_at", now, true)]);
                Ok(RecordBatch::try_from_iter_with_nullable(all)?)
            }
        }
    };
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct User<'a> {
    object: &'a str,
    id: &'a str,
    name: Option<&'a str>,
    email: Option<&'a str>,
    role: &'a str,
    added_at: i64,
    created: Option<i64>,
    is_default: Option<bool>,
    is_service_account: Option<bool>,
    is_scim_managed: Option<bool>,
    api_key_last_used_at: Option<i64>,
    #[serde(borrow)]
    user: Account<'a>,
}

#[derive(Deserialize)]
struct Account<'a> {
    object: &'a str,
    id: &'a str,
    email: Option<&'a str>,
    name: Option<&'a str>,
    enabled: Option<bool>,
    banned: Option<bool>,
}

columns!(Users, ABSENT_USERS, {
    id: StringBuilder,
    object: StringBuilder,
    name: StringBuilder,
    email: StringBuilder,
    role: StringBuilder,
    added_at: TimestampMicrosecondBuilder,
    is_default: BooleanBuilder,
    created: TimestampMicrosecondBuilder,
    user_object: StringBuilder,
    user_id: StringBuilder,
    user_email: StringBuilder,
    user_name: StringBuilder,
    user_enabled: BooleanBuilder,
    user_banned: BooleanBuilder,
    is_service_account: BooleanBuilder,
    is_scim_managed: BooleanBuilder,
    api_key_last_used_at: TimestampMicrosecondBuilder,
});

impl Users {
    fn add(&mut self, user: &User<'_>) {
        self.id.append_value(user.id);
        self.object.append_value(user.object);
        self.name.append_option(user.name);
        self.email.append_option(user.email);
        self.role.append_value(user.role);
        self.added_at.append_value(user.added_at * 1_000_000);
        self.is_default.append_option(user.is_default);
        self.created.append_option(user.created.map(|s| s * 1_000_000));
        self.user_object.append_value(user.user.object);
        self.user_id.append_value(user.user.id);
        self.user_email.append_option(user.user.email);
        self.user_name.append_option(user.user.name);
        self.user_enabled.append_option(user.user.enabled);
        self.user_banned.append_option(user.user.banned);
        self.is_service_account.append_option(user.is_service_account);
        self.is_scim_managed.append_option(user.is_scim_managed);
        self.api_key_last_used_at.append_option(user.api_key_last_used_at.map(|s| s * 1_000_000));
    }
}

#[derive(Deserialize)]
struct Bucket<'a> {
    start_time: i64,
    end_time: i64,
    #[serde(borrow)]
    results: Vec<Spent<'a>>,
}

#[derive(Deserialize)]
struct Spent<'a> {
    object: &'a str,
    input_tokens: i64,
    output_tokens: i64,
    input_cached_tokens: i64,
    num_model_requests: i64,
    project_id: Option<&'a str>,
    user_id: Option<&'a str>,
    api_key_id: Option<&'a str>,
    model: Option<&'a str>,
    batch: Option<bool>,
    service_tier: Option<&'a str>,
}

columns!(Usage, ABSENT_USAGE, {
    start_time: TimestampMicrosecondBuilder,
    end_time: TimestampMicrosecondBuilder,
    project_id: StringBuilder,
    user_id: StringBuilder,
    api_key_id: StringBuilder,
    model: StringBuilder,
    batch: BooleanBuilder,
    service_tier: StringBuilder,
    object: StringBuilder,
    input_tokens: Int64Builder,
    input_cached_tokens: Int64Builder,
    output_tokens: Int64Builder,
    num_model_requests: Int64Builder,
});

impl Usage {
    fn add(&mut self, bucket: &Bucket<'_>, spent: &Spent<'_>) {
        self.start_time.append_value(bucket.start_time * 1_000_000);
        self.end_time.append_value(bucket.end_time * 1_000_000);
        self.project_id.append_option(spent.project_id);
        self.user_id.append_option(spent.user_id);
        self.api_key_id.append_option(spent.api_key_id);
        self.model.append_option(spent.model);
        self.batch.append_option(spent.batch);
        self.service_tier.append_option(spent.service_tier);
        self.object.append_value(spent.object);
        self.input_tokens.append_value(spent.input_tokens);
        self.input_cached_tokens.append_value(spent.input_cached_tokens);
        self.output_tokens.append_value(spent.output_tokens);
        self.num_model_requests.append_value(spent.num_model_requests);
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    effective_at: i64,
    #[serde(borrow)]
    project: Option<Project<'a>>,
    #[serde(borrow)]
    actor: Option<Actor<'a>>,
    #[serde(rename = "login.succeeded", borrow)]
    login: Option<LazyValue<'a>>,
    #[serde(rename = "logout.succeeded", borrow)]
    logout: Option<LazyValue<'a>>,
    #[serde(rename = "api_key.created", borrow)]
    key_created: Option<LazyValue<'a>>,
    #[serde(rename = "api_key.deleted", borrow)]
    key_deleted: Option<LazyValue<'a>>,
    #[serde(rename = "user.updated", borrow)]
    user_updated: Option<LazyValue<'a>>,
    #[serde(rename = "project.updated", borrow)]
    project_updated: Option<LazyValue<'a>>,
    #[serde(rename = "rate_limit.updated", borrow)]
    rate_limit_updated: Option<LazyValue<'a>>,
    #[serde(rename = "invite.sent", borrow)]
    invite_sent: Option<LazyValue<'a>>,
}

#[derive(Deserialize)]
struct Project<'a> {
    id: &'a str,
    name: Option<&'a str>,
}

#[derive(Deserialize)]
struct Actor<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    session: Option<Session<'a>>,
    #[serde(borrow)]
    api_key: Option<Key<'a>>,
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow)]
    user: Person<'a>,
    ip_address: &'a str,
    user_agent: &'a str,
    ja3: &'a str,
    ja4: &'a str,
    #[serde(borrow)]
    ip_address_details: Place<'a>,
}

#[derive(Deserialize)]
struct Key<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    user: Option<Person<'a>>,
}

#[derive(Deserialize)]
struct Person<'a> {
    id: &'a str,
    email: &'a str,
}

#[derive(Deserialize)]
struct Place<'a> {
    country: &'a str,
    city: &'a str,
    region: &'a str,
    region_code: &'a str,
    asn: &'a str,
    latitude: &'a str,
    longitude: &'a str,
}

columns!(Audit, ABSENT_AUDIT, {
    id: StringBuilder,
    kind: StringBuilder,
    effective_at: TimestampMicrosecondBuilder,
    project_id: StringBuilder,
    project_name: StringBuilder,
    actor_type: StringBuilder,
    user_id: StringBuilder,
    user_email: StringBuilder,
    ip_address: StringBuilder,
    user_agent: StringBuilder,
    ja3: StringBuilder,
    ja4: StringBuilder,
    country: StringBuilder,
    city: StringBuilder,
    region: StringBuilder,
    region_code: StringBuilder,
    asn: StringBuilder,
    latitude: StringBuilder,
    longitude: StringBuilder,
    key_id: StringBuilder,
    key_type: StringBuilder,
    key_user_id: StringBuilder,
    key_user_email: StringBuilder,
    details: StringBuilder,
});

impl Audit {
    fn add(&mut self, event: &Event<'_>) {
        let (project, actor) = (event.project.as_ref(), event.actor.as_ref());
        self.id.append_value(event.id);
        self.kind.append_value(event.kind);
        self.effective_at.append_value(event.effective_at * 1_000_000);
        self.project_id.append_option(project.map(|p| p.id));
        self.project_name.append_option(project.and_then(|p| p.name));
        self.actor_type.append_option(actor.map(|a| a.kind));
        let session = actor.and_then(|a| a.session.as_ref());
        self.user_id.append_option(session.map(|s| s.user.id));
        self.user_email.append_option(session.map(|s| s.user.email));
        self.ip_address.append_option(session.map(|s| s.ip_address));
        self.user_agent.append_option(session.map(|s| s.user_agent));
        self.ja3.append_option(session.map(|s| s.ja3));
        self.ja4.append_option(session.map(|s| s.ja4));
        let place = session.map(|s| &s.ip_address_details);
        self.country.append_option(place.map(|p| p.country));
        self.city.append_option(place.map(|p| p.city));
        self.region.append_option(place.map(|p| p.region));
        self.region_code.append_option(place.map(|p| p.region_code));
        self.asn.append_option(place.map(|p| p.asn));
        self.latitude.append_option(place.map(|p| p.latitude));
        self.longitude.append_option(place.map(|p| p.longitude));
        let key = actor.and_then(|a| a.api_key.as_ref());
        self.key_id.append_option(key.map(|k| k.id));
        self.key_type.append_option(key.map(|k| k.kind));
        self.key_user_id.append_option(key.and_then(|k| k.user.as_ref()).map(|u| u.id));
        self.key_user_email.append_option(key.and_then(|k| k.user.as_ref()).map(|u| u.email));
        let details = [
            &event.login,
            &event.logout,
            &event.key_created,
            &event.key_deleted,
            &event.user_updated,
            &event.project_updated,
            &event.rate_limit_updated,
            &event.invite_sent,
        ];
        let details = details.into_iter().find_map(Option::as_ref);
        self.details.append_option(details.map(LazyValue::as_raw_str));
    }
}

/// Pages into Parquet, batch by batch; gives the rows and the bytes of the file.
struct File {
    writer: Option<ArrowWriter<Vec<u8>>>,
    rows: usize,
}

impl File {
    fn add(&mut self, batch: &RecordBatch) -> Outcome<()> {
        if self.writer.is_none() {
            let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
            let properties = WriterProperties::builder().set_compression(zstd).build();
            self.writer = Some(ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?);
        }
        self.rows += batch.num_rows();
        Ok(self.writer.iter_mut().try_for_each(|writer| writer.write(batch))?)
    }

    fn finish(self) -> Outcome<(usize, usize)> {
        let bytes = self.writer.map(ArrowWriter::into_inner).transpose()?;
        Ok((self.rows, bytes.map_or(0, |bytes| bytes.len())))
    }
}

/// The set's pages, by its name; gives rows and bytes.
pub(crate) fn encode(set: &str, pages: &[String]) -> Outcome<(usize, usize)> {
    let mut file = File { writer: None, rows: 0 };
    let (mut users, mut usage, mut audit) = (Users::default(), Usage::default(), Audit::default());
    let mut rows = 0;
    for page in pages {
        let last = std::ptr::eq(page, &pages[pages.len() - 1]);
        match set {
            "users" => {
                let list: List<User<'_>> = sonic_rs::from_str(page)?;
                list.data.iter().for_each(|user| users.add(user));
                rows += list.data.len();
            }
            "usage" => {
                let list: List<Bucket<'_>> = sonic_rs::from_str(page)?;
                for bucket in &list.data {
                    bucket.results.iter().for_each(|spent| usage.add(bucket, spent));
                    rows += bucket.results.len();
                    if rows >= BATCH {
                        file.add(&usage.take()?)?;
                        rows = 0;
                    }
                }
            }
            _ => {
                let list: List<Event<'_>> = sonic_rs::from_str(page)?;
                list.data.iter().for_each(|event| audit.add(event));
                rows += list.data.len();
            }
        }
        if rows >= BATCH || (last && rows > 0) {
            file.add(&match set {
                "users" => users.take()?,
                "usage" => usage.take()?,
                _ => audit.take()?,
            })?;
            rows = 0;
        }
    }
    file.finish()
}
