//! Loads into PostgreSQL: each slice by binary COPY, in a transaction of its own.
//!
//! The rows stream from Parquet to the server; memory holds one batch.
//! An advisory lock on the schema keeps two loads apart.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, TryStreamExt};
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::task::AbortOnDropHandle;

use super::tls::Tls;
use super::{Holds, Load, Loaded, TRIES, binary, checked};
use crate::error::{Error, Kind, Result};
use crate::lake::Found;
use crate::schema::Table;

/// Sent at once.
const CHUNK: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Postgres {
    client: Client,
    _connection: AbortOnDropHandle<()>,
}

impl Postgres {
    pub(crate) async fn connect(config: &Config, shown: &str) -> Result<Postgres> {
        let failed = |e: tokio_postgres::Error| refused(&e).at(shown);
        // The connection ends with an error when the server goes away; the client's next call tells it.
        let (client, connection) = if config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        } else {
            let (client, connection) = config.connect(Tls::new()?).await.map_err(failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        };
        Ok(Postgres { client, _connection: AbortOnDropHandle::new(connection) })
    }

    pub(super) async fn open(&self, prelude: &str, schema: &str, ledger: &str) -> Result<Holds> {
        // The server needs a moment to see that a killed load is gone.
        let lock = format!(
            "SET lock_timeout = '10s'; SELECT pg_advisory_lock(hashtext('openai-elt'), hashtext('{schema}')); SET lock_timeout = 0;"
        );
        self.execute(&lock).await.map_err(|e| match e.to_string().contains("lock timeout") {
            true => Error::integrity(format!("another load into the schema {schema} is going on"))
                .hint("wait for it to end"),
            false => e,
        })?;
        // "already exists, skipping" is no news.
        self.execute(&format!("SET client_min_messages = warning; SET TimeZone = 'UTC';\n{prelude}")).await?;
        let mut holds = Holds::default();
        let columns = format!(
            "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = '{schema}'"
        );
        for (table, column) in self.pairs(&columns).await? {
            holds.columns.entry(table).or_default().insert(column);
        }
        holds.slices = self.pairs(&format!("SELECT path, fingerprint FROM {ledger}")).await?.into_iter().collect();
        Ok(holds)
    }

    pub(super) async fn load(&self, load: &Load, table: &Table, definitions: &str, group: &[Found]) -> Result<Loaded> {
        if !definitions.is_empty() {
            self.execute(&format!("BEGIN;\n{definitions}\nCOMMIT;")).await?;
        }
        let mut loaded = Loaded::default();
        for slice in group {
            checked(table, slice)?;
            let part = self.slice(load, table, slice).await.map_err(|e| e.at(slice.path.clone()))?;
            loaded.rows += part.rows;
            loaded.nul += part.nul;
        }
        Ok(loaded)
    }

    /// Replaces a slice. One that a sync rewrites meanwhile is read again.
    async fn slice(&self, load: &Load, table: &Table, slice: &Found) -> Result<Loaded> {
        let mut slice = slice.clone();
        for _ in 0..TRIES {
            let tried = self.replace(load, table, &slice).await;
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
    async fn replace(&self, load: &Load, table: &Table, slice: &Found) -> Result<Loaded> {
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
            loaded.nul += append(table, &batch, day, &mut buffer)?;
            loaded.rows += batch.num_rows() as u64;
            while buffer.len() > CHUNK {
                sink.send(buffer.split_to(CHUNK).freeze()).await.map_err(|e| refused(&e))?;
            }
        }
        buffer.extend_from_slice(binary::TRAILER);
        sink.send(buffer.freeze()).await.map_err(|e| refused(&e))?;
        sink.finish().await.map_err(|e| refused(&e))?;
        Ok(loaded)
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| refused(&e))
    }

    /// The first two columns of what a query answers.
    async fn pairs(&self, sql: &str) -> Result<Vec<(String, String)>> {
        let answer = self.client.simple_query(sql).await.map_err(|e| refused(&e))?;
        let pair = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                let text = |at: usize| if at < row.len() { row.get(at).unwrap_or_default() } else { "" }.to_string();
                Some((text(0), text(1)))
            }
            _ => None,
        };
        Ok(answer.into_iter().filter_map(pair).collect())
    }
}

fn append(table: &Table, batch: &RecordBatch, day: Option<i32>, buffer: &mut BytesMut) -> Result<u64> {
    let columns = table.columns.iter().zip(batch.columns()).map(|(c, array)| (c.kind, Arc::clone(array)));
    binary::rows(&columns.collect::<Vec<_>>(), day, batch.num_rows(), buffer)
}

/// What the server, or the way to it, said.
fn refused(e: &tokio_postgres::Error) -> Error {
    if let Some(said) = e.as_db_error() {
        let error = Error::new(Kind::Storage, format!("PostgreSQL: {}", said.message().to_lowercase()));
        let code = said.code().code();
        return match code {
            "28P01" | "28000" => Error::new(Kind::WrongKey, format!("PostgreSQL: {}", said.message()))
                .hint("set PGPASSWORD, or write it into ~/.pgpass"),
            "42501" => {
                error.hint("this user may not do that: it needs CREATE on the schema and the tables that are its own")
            }
            "3D000" => Error::usage(format!("PostgreSQL: {}", said.message())).hint("create the database first"),
            _ => error.hint(format!("PostgreSQL's code for it is {code}; the slice was not changed")),
        };
    }
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Error::new(Kind::Unavailable, format!("PostgreSQL cannot be reached: {cause}"))
        .hint("check host, port and sslmode; what was loaded before stays, and the next load goes on")
}
