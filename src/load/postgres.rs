//! Loads into PostgreSQL: each slice by binary COPY, in a transaction of its own.
//!
//! The rows stream from Parquet to the server; memory holds one batch.
//! An advisory lock on the schema keeps two loads apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, TryStreamExt};
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::task::AbortOnDropHandle;

use super::review::{Counts, Record};
use super::shape::{Relation, RelationKind, TargetColumn};
use super::tls::Tls;
use super::{Load, Loaded, TRIES, Wire, binary, checked};
use crate::error::{Error, Kind, Result};
use crate::lake::Found;
use crate::schema::Table;

/// Sent at once.
const CHUNK: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Postgres {
    client: Client,
    /// For hints.
    user: String,
    database: String,
    _connection: AbortOnDropHandle<()>,
}

impl Postgres {
    pub(crate) async fn connect(config: &Config, shown: &str) -> Result<Postgres> {
        let failed = |e: tokio_postgres::Error| unconnected(&e, config).at(shown);
        // The connection ends with an error when the server goes away; the client's next call tells it.
        let (client, connection) = if config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        } else {
            let (client, connection) = config.connect(Tls::new()?).await.map_err(failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        };
        Ok(Postgres {
            client,
            user: config.get_user().unwrap_or_default().to_string(),
            database: config.get_dbname().unwrap_or_default().to_string(),
            _connection: AbortOnDropHandle::new(connection),
        })
    }

    /// Keeps other loads out of the schema, and prepares the session.
    pub(super) async fn lock(&self, schema: &str) -> Result<()> {
        // The server needs a moment to see that a killed load is gone.
        let lock = format!(
            "SET lock_timeout = '10s'; SELECT pg_advisory_lock(hashtext('openai-elt'), hashtext('{schema}')); SET lock_timeout = 0;"
        );
        self.client.batch_execute(&lock).await.map_err(|e| match e.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                Error::integrity(format!("another load into the schema {schema} is going on"))
                    .hint("wait for it to end")
            }
            _ => refused(&e),
        })?;
        // "already exists, skipping" is no news.
        self.execute("SET client_min_messages = warning; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'").await
    }

    /// Returns the relations of a schema, or `None` if there is no such schema.
    /// From PostgreSQL's own catalog: `information_schema` hides what this user has no rights on.
    pub(super) async fn catalog(&self, schema: &str) -> Result<Option<BTreeMap<String, Relation>>> {
        let query = format!(
            "SELECT c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated \
             FROM pg_catalog.pg_namespace n \
             LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'f', 'v', 'm') \
             LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             WHERE n.nspname = '{schema}'"
        );
        let rows = self.rows(&query).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut relations = BTreeMap::new();
        for row in rows {
            let [Some(name), Some(kind), column, type_name, generated] = row else { continue };
            let kind = match kind.as_str() {
                "v" => RelationKind::View,
                "m" => RelationKind::MaterializedView,
                _ => RelationKind::Table,
            };
            let relation = relations.entry(name).or_insert_with(|| Relation { kind, columns: BTreeMap::new() });
            if let (Some(column), Some(type_name)) = (column, type_name) {
                let computed = generated.is_some_and(|generated| !generated.is_empty());
                relation.columns.insert(column, TargetColumn { type_name, computed });
            }
        }
        Ok(Some(relations))
    }

    pub(super) async fn records(&self, ledger: &str) -> Result<BTreeMap<String, Record>> {
        let query = format!("SELECT path, fingerprint, \"rows\" FROM {ledger} WHERE path IS NOT NULL");
        let record = |[path, fingerprint, rows]: [Option<String>; 3]| {
            let record =
                Record { fingerprint: fingerprint.unwrap_or_default(), rows: rows.and_then(|n| n.parse().ok()) };
            (path.unwrap_or_default(), record)
        };
        Ok(self.rows(&query).await?.into_iter().map(record).collect())
    }

    /// Runs a query that returns `day` and `rows`.
    pub(super) async fn counts(&self, query: &str) -> Result<Counts> {
        let count = |[day, rows]: [Option<String>; 2]| (day, rows.and_then(|n| n.parse().ok()).unwrap_or(0));
        Ok(self.rows(query).await?.into_iter().map(count).collect())
    }

    /// Runs statements in one transaction.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        let done = self.execute(&format!("BEGIN;\n{sql}COMMIT;")).await;
        if done.is_err() {
            // Without it the session would refuse all that follows. The first error is the one to report.
            let _ = self.client.batch_execute("ROLLBACK").await;
        }
        done
    }

    /// Makes `json` columns of a table `jsonb`. Returns why not, if they stay as they are.
    pub(super) async fn to_jsonb(&self, table: &str, columns: &[String]) -> Result<Option<Kept>> {
        let each = columns.iter().map(|c| format!("ALTER COLUMN {c} TYPE jsonb USING {c}::text::jsonb"));
        // Readers of the table hold it; then another load does it.
        let sql = format!(
            "BEGIN; SET LOCAL lock_timeout = '10s';\nALTER TABLE {table} {};\nCOMMIT;",
            each.collect::<Vec<_>>().join(", ")
        );
        let Err(e) = self.client.batch_execute(&sql).await else { return Ok(None) };
        let Some(said) = e.as_db_error() else { return Err(refused(&e)) };
        let _ = self.client.batch_execute("ROLLBACK").await;
        // Classes 22 and 54: a value that `jsonb` refuses.
        match said.code().code().get(..2) {
            Some("22" | "54") => Ok(Some(Kept::Value)),
            _ => Ok(Some(Kept::Database(said.message().to_string()))),
        }
    }

    /// The hint for a right that this user lacks; `statement` gives it.
    pub(super) fn lacking(&self, error: Error, statement: Right<'_>) -> Error {
        if error.kind != Kind::Storage || !error.to_string().contains(NO_RIGHT) {
            return error;
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let user = quoted(&self.user);
        error.rather(match statement {
            Right::MakeSchema(schema) => format!(
                "`GRANT CREATE ON DATABASE {} TO {user}`, or make the schema for it: CREATE SCHEMA {schema} AUTHORIZATION {user}",
                quoted(&self.database)
            ),
            Right::MakeTable(schema) => format!("`GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}`"),
            Right::ReadLedger(schema) => format!(
                "`GRANT USAGE ON SCHEMA {schema} TO {user}; \
                 GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}`"
            ),
            Right::Fill(schema) => {
                format!("`GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}`")
            }
            Right::Alter(table) => {
                format!("only the owner of a table may change its columns: `ALTER TABLE {table} OWNER TO {user}`")
            }
        })
    }

    /// Replaces a group of slices, each in a transaction of its own.
    pub(super) async fn load(&self, load: &Load, table: &Table, wires: &[Wire], group: &[Found]) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        for slice in group {
            checked(table, slice)?;
            let part = self.slice(load, table, wires, slice).await;
            let part = part.map_err(|e| self.lacking(e, Right::Fill(&load.schema_name())).at(slice.path.clone()))?;
            loaded.add(part);
        }
        Ok(loaded)
    }

    /// Replaces a slice. One that a sync rewrites meanwhile is read again.
    async fn slice(&self, load: &Load, table: &Table, wires: &[Wire], slice: &Found) -> Result<Loaded> {
        let mut slice = slice.clone();
        for _ in 0..TRIES {
            let tried = self.replace(load, table, wires, &slice).await;
            let now = load.lake.again(&slice).await;
            match (tried, now) {
                (Ok(loaded), Ok(Some(now))) if now.fingerprint() == slice.fingerprint() => {
                    let record = load.record(&slice, loaded.rows);
                    self.execute(&format!("{record}COMMIT;")).await?;
                    return Ok(loaded);
                }
                (tried, now) => {
                    self.execute("ROLLBACK;").await?;
                    match now? {
                        Some(now) if now.fingerprint() != slice.fingerprint() => slice = now,
                        _ => tried.map(drop)?,
                    }
                }
            }
        }
        Err(Error::integrity("it changed while it was read, again and again").hint("load when no sync is running"))
    }

    /// Leaves the transaction open.
    async fn replace(&self, load: &Load, table: &Table, wires: &[Wire], slice: &Found) -> Result<Loaded> {
        let rows = load.lake.rows(slice).await?;
        for field in rows.schema().fields() {
            let known = table.columns.iter().any(|c| c.name == *field.name() && c.kind.arrow() == *field.data_type());
            if !known {
                return Err(Error::integrity(format!(
                    "the file has a column `{}` that this table does not know",
                    field.name()
                ))
                .hint("it was written by a newer version or with other --schemas: use the same again"));
            }
        }
        self.execute(&format!("BEGIN;\n{}", load.delete(table, std::slice::from_ref(slice)))).await?;
        let mut columns: Vec<String> = table.columns.iter().map(|c| load.dialect.name(&c.name)).collect();
        columns.extend(slice.day.map(|_| load.dialect.name("date")));
        let copy = format!("COPY {} ({}) FROM STDIN BINARY", load.qualified(table), columns.join(", "));
        let sink = self.client.copy_in::<_, Bytes>(&copy).await.map_err(|e| refused(&e))?;
        let mut sink = std::pin::pin!(sink);
        let day = slice.day.map(|d| (d - chrono::NaiveDate::default()).num_days() as i32);
        let mut buffer = BytesMut::from(binary::HEADER);
        let mut loaded = Loaded::default();
        let mut batches = rows.columns(table.arrow())?;
        while let Some(batch) = batches.try_next().await? {
            let columns: Vec<_> = wires.iter().copied().zip(batch.columns().iter().map(Arc::clone)).collect();
            loaded.add(binary::rows(&columns, day, batch.num_rows(), &mut buffer)?);
            while buffer.len() > CHUNK {
                sink.send(buffer.split_to(CHUNK).freeze()).await.map_err(|e| refused(&e))?;
            }
        }
        buffer.extend_from_slice(binary::TRAILER);
        sink.send(buffer.freeze()).await.map_err(|e| refused(&e))?;
        let arrived = sink.finish().await.map_err(|e| refused(&e))?;
        if arrived == loaded.rows {
            return Ok(loaded);
        }
        Err(Error::integrity(format!(
            "{} rows were sent and {arrived} arrived; the slice was not changed",
            loaded.rows
        ))
        .hint(format!(
            "a trigger or rule of {} keeps rows back: drop it, or load into another schema",
            load.qualified(table)
        )))
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| refused(&e))
    }

    /// The rows of a query, as text; `None` for null.
    async fn rows<const N: usize>(&self, sql: &str) -> Result<Vec<[Option<String>; N]>> {
        let answer = self.client.simple_query(sql).await.map_err(|e| refused(&e))?;
        let row = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some(std::array::from_fn(|at| if at < row.len() { row.get(at).map(str::to_string) } else { None }))
            }
            _ => None,
        };
        Ok(answer.into_iter().filter_map(row).collect())
    }
}

/// Why `json` columns are not `jsonb` yet.
pub(super) enum Kept {
    /// A value that `jsonb` refuses.
    Value,
    /// What the database says.
    Database(String),
}

/// What a user needs a right for.
#[derive(Clone, Copy)]
pub(super) enum Right<'a> {
    MakeSchema(&'a str),
    MakeTable(&'a str),
    ReadLedger(&'a str),
    Fill(&'a str),
    Alter(&'a str),
}

/// Ends the message of an error about rights.
const NO_RIGHT: &str = "(a right that this user lacks)";

/// Why there is no connection: the server wants a password and none was given, or what [`refused`] says.
fn unconnected(e: &tokio_postgres::Error, config: &Config) -> Error {
    let (mut asked, mut cause) = (false, std::error::Error::source(e));
    while let Some(inner) = cause {
        // The library's words; it has no type for them.
        asked |= inner.to_string().contains("password missing");
        cause = inner.source();
    }
    if asked && config.get_password().is_none() {
        return Error::new(Kind::WrongKey, "PostgreSQL wants a password, and none is given").hint(
            "set PGPASSWORD, write it into ~/.pgpass, or put the whole URL into a variable and say --to env:NAME",
        );
    }
    refused(e)
}

/// What the server, or the way to it, said.
fn refused(e: &tokio_postgres::Error) -> Error {
    if let Some(said) = e.as_db_error() {
        let message = format!("PostgreSQL: {}", said.message());
        let error = Error::new(Kind::Storage, message.clone());
        let code = said.code().code();
        return match code {
            "28P01" | "28000" => {
                Error::new(Kind::WrongKey, message).hint("set PGPASSWORD, or write it into ~/.pgpass")
            }
            "42501" => Error::new(Kind::Storage, format!("{message} {NO_RIGHT}"))
                .hint("this user may not do that: it needs CREATE on the schema and the tables that are its own"),
            "3D000" => Error::usage(message).hint("create the database first"),
            _ => match constraint(said) {
                Some(statement) => error.hint(format!(
                    "the lake's rows need not obey a constraint that somebody added: {statement}; the slice was not changed"
                )),
                None => error.hint(format!("PostgreSQL's code for it is {code}; the slice was not changed")),
            },
        };
    }
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let hint = match io {
        Some(std::io::ErrorKind::ConnectionRefused) => {
            "see whether the server runs there, and check host and port; what was loaded before stays, and the next load goes on"
        }
        _ => "check host, port and sslmode; what was loaded before stays, and the next load goes on",
    };
    Error::new(Kind::Unavailable, format!("PostgreSQL cannot be reached: {cause}")).hint(hint)
}

/// What removes the constraint that an error is about.
fn constraint(said: &DbError) -> Option<String> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let schema = quoted(said.schema()?);
    let table = format!("{schema}.{}", quoted(said.table()?));
    match (said.code().code(), said.column(), said.constraint()) {
        ("23502", Some(column), _) => {
            Some(format!("`ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL`", quoted(column)))
        }
        ("23503" | "23505" | "23514" | "23P01", _, Some(name)) => Some(format!(
            "`ALTER TABLE {table} DROP CONSTRAINT {0}`, or DROP INDEX {schema}.{0} for an index of its own",
            quoted(name)
        )),
        _ => None,
    }
}
