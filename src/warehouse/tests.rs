//! Rules that hold for every dialect and every table, without any warehouse.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use chrono::NaiveDate;
use clap::ValueEnum;

use super::changes::{Changes, Slices};
use super::dialect::{Dialect, Name, fill};
use super::script::{MANY_DAYS, Order};
use crate::error::Result;
use crate::schema::{Catalog, Table, Type};

fn tables() -> Vec<Arc<Table>> {
    Catalog::load(None).unwrap().iter().cloned().collect()
}

fn write(name: Name, tables: &[Arc<Table>], changed: Option<&Changes>, external: bool) -> Result<String> {
    let dialect = Dialect::load(name).unwrap();
    let order = Order {
        dialect: &dialect,
        tables,
        schema: "a.b",
        lake: "s3://b/p",
        remote: true,
        held: None,
        changed,
        external,
    };
    order.write()
}

/// Every table whole, or a day of it that is empty and one that is not.
fn some(tables: &[Arc<Table>]) -> Changes {
    let day = NaiveDate::default();
    let days = |t: &Table| match t.slices.is_some() {
        true => BTreeMap::from([(day, Some(0)), (day.succ_opt().unwrap(), Some(7))]),
        false => BTreeMap::new(),
    };
    tables.iter().map(|t| (t.name.clone(), Slices { whole: t.slices.is_none(), days: days(t) })).collect()
}

/// Every word of every template is known wherever it is used.
#[test]
fn every_dialect_writes_every_table() {
    let tables = tables();
    let some = some(&tables);
    for name in Name::value_variants() {
        for changed in [None, Some(&some)] {
            write(*name, &tables, changed, false).unwrap();
        }
        write(*name, &tables, None, true).unwrap();
    }
}

/// What loads by position goes on loading when a column is added.
#[test]
fn the_columns_of_a_version_are_a_prefix_of_the_next() {
    for table in tables() {
        let since: Vec<u32> = table.columns.iter().map(|c| c.since).collect();
        assert!(since.is_sorted(), "{}: {since:?}", table.name);
    }
}

/// No nanoseconds, nothing unsigned, nothing nested.
#[test]
fn files_hold_types_that_every_reader_has() {
    use Type::*;
    for kind in [String, Int, Float, Bool, Decimal, Date, Timestamp, Json] {
        match kind.arrow() {
            DataType::Utf8 | DataType::Int64 | DataType::Float64 | DataType::Boolean | DataType::Date32 => {}
            DataType::Decimal128(precision, scale) => assert_eq!((precision, scale), (38, 18)),
            DataType::Timestamp(unit, zone) => {
                assert_eq!((unit, zone.as_deref()), (TimeUnit::Microsecond, Some("UTC")))
            }
            other => panic!("{kind:?} is {other}"),
        }
    }
}

#[test]
fn texts_do_not_get_out_of_their_quotes() {
    let cases = [
        (Name::Duckdb, r"a'b\", r"'a''b\'"),
        (Name::Postgres, "'; DROP", "'''; DROP'"),
        (Name::Snowflake, r"a'b\", r"'a''b\\'"),
        (Name::Redshift, r"\'", r"'\\'''"),
        (Name::Bigquery, r"\'", r"'\\\''"),
        (Name::Spark, "it's", r"'it\'s'"),
        (Name::Clickhouse, "two\nlines\0", "'two lines '"),
    ];
    for (name, text, literal) in cases {
        assert_eq!(Dialect::load(name).unwrap().literal(text), literal, "{name:?}");
    }
    // What is filled in is not read as a template again.
    assert_eq!(fill("<a>", &[("a", "<b>".to_string()), ("b", "!".to_string())]).unwrap(), "<b>");
    assert!(fill("<nothing>", &[]).is_err());
}

#[test]
fn a_lake_is_written_as_the_warehouse_writes_it() {
    let location = |name: Name, lake: &str| Dialect::load(name).unwrap().location(lake);
    assert_eq!(location(Name::Snowflake, "gs://b/a/c/").as_deref(), Some("gcs://b/a/c"));
    assert_eq!(location(Name::Spark, "s3://b").as_deref(), Some("s3a://b"));
    assert_eq!(location(Name::Databricks, "az://c/p").as_deref(), Some("abfss://c@ACCOUNT.dfs.core.windows.net/p"));
    assert_eq!(location(Name::Spark, "/a b/c").as_deref(), Some("file:///a b/c"));
    assert_eq!(location(Name::Bigquery, "s3://b/p"), None);
}

#[test]
fn too_many_changed_days_are_a_load_of_the_whole_table() {
    let tables: Vec<Arc<Table>> = tables().into_iter().filter(|t| t.name == "costs").collect();
    let days = NaiveDate::default().iter_days().take(MANY_DAYS + 1).map(|d| (d, None)).collect();
    let changed = Changes::from([("costs".to_string(), Slices { whole: false, days })]);
    assert!(write(Name::Snowflake, &tables, Some(&changed), false).unwrap().contains("PATTERN"));
}

#[test]
fn a_column_named_as_the_partition_is_refused() {
    let mut table = Table::clone(Catalog::load(None).unwrap().get("costs").unwrap());
    table.columns[1].name = "date".to_string();
    assert!(write(Name::Duckdb, &[Arc::new(table)], None, false).is_err());
}
