//! What a table of the target looks like, and what it lacks.
//!
//! Pure. A column of another type is an error before a byte is sent: binary COPY
//! into another type stores other values, and DuckDB casts with rounding. Types
//! that hold every value exactly are accepted, such as `numeric` for
//! `numeric(38,18)`.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::schema::{Table, Type};

/// A table or view of the target's schema.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) kind: RelationKind,
    /// By name.
    pub(super) columns: BTreeMap<String, TargetColumn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelationKind {
    Table,
    /// A view on the lake that `schema --external` made. It holds nothing.
    ViewOfLake,
    View,
    MaterializedView,
}

#[derive(Clone, Debug)]
pub(super) struct TargetColumn {
    /// As the target spells it.
    pub(super) type_name: String,
    /// A generated column, which takes no values.
    pub(super) computed: bool,
}

/// How a target is asked and addressed, as far as types matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Duckdb,
    Postgres,
}

/// Columns that the target lacks.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    /// Indices of the table's columns.
    pub(super) columns: Vec<usize>,
    /// The partition column `date`.
    pub(super) day: bool,
}

impl Lacks {
    pub(super) fn nothing(&self) -> bool {
        self.columns.is_empty() && !self.day
    }
}

impl Engine {
    /// Whether a column of this type holds every value of `kind` exactly.
    pub(super) fn holds(self, kind: Type, type_name: &str) -> bool {
        match self {
            Engine::Duckdb => match kind {
                Type::String => type_name == "VARCHAR",
                Type::Json => matches!(type_name, "VARCHAR" | "JSON"),
                Type::Int => matches!(type_name, "BIGINT" | "HUGEINT"),
                Type::Float => type_name == "DOUBLE",
                Type::Bool => type_name == "BOOLEAN",
                Type::Decimal => type_name == "DECIMAL(38,18)",
                Type::Date => type_name == "DATE",
                Type::Timestamp => type_name == "TIMESTAMP WITH TIME ZONE",
            },
            Engine::Postgres => match kind {
                Type::String => matches!(type_name, "text" | "character varying" | "citext"),
                Type::Json => matches!(type_name, "jsonb" | "json" | "text" | "character varying"),
                Type::Int => type_name == "bigint",
                Type::Float => type_name == "double precision",
                Type::Bool => type_name == "boolean",
                Type::Decimal => type_name == "numeric" || holds_money(type_name),
                Type::Date => type_name == "date",
                Type::Timestamp => {
                    matches!(type_name, "timestamp with time zone" | "timestamp(6) with time zone")
                }
            },
        }
    }
}

/// `numeric(p,s)` with at least 20 digits before the point and 18 after it.
fn holds_money(type_name: &str) -> bool {
    let inside = type_name.strip_prefix("numeric(").and_then(|rest| rest.strip_suffix(')'));
    let Some((precision, scale)) = inside.and_then(|inside| inside.split_once(',')) else { return false };
    match (precision.parse::<i32>(), scale.parse::<i32>()) {
        (Ok(precision), Ok(scale)) => scale >= 18 && precision - scale >= 20,
        _ => false,
    }
}

/// Returns what `relation` lacks of `table`, whose name in SQL is `name`.
/// `column_name` quotes a column, `type_of` names the type that a column is made with.
/// Errors if the relation is no table, or a column has a type that does not hold all values.
pub(super) fn compare(
    engine: Engine,
    table: &Table,
    relation: &Relation,
    name: &str,
    column_name: impl Fn(&str) -> String,
    type_of: impl Fn(Type) -> String,
) -> Result<Lacks> {
    let view = match relation.kind {
        RelationKind::Table | RelationKind::ViewOfLake => None,
        RelationKind::View => Some("view"),
        RelationKind::MaterializedView => Some("materialized view"),
    };
    if let Some(view) = view {
        return Err(Error::integrity(format!("{name} is a {view}, and rows go into tables only")).hint(format!(
            "drop it with `DROP {} {name}`, or load into another schema with --schema",
            view.to_uppercase()
        )));
    }
    let mut lacks = Lacks::default();
    let check = |column: &str, kind: Type| -> Result<bool> {
        let Some(found) = relation.columns.get(column) else { return Ok(false) };
        if !found.computed && engine.holds(kind, &found.type_name) {
            return Ok(true);
        }
        let wrong = match found.computed {
            true => "is computed by the database and takes no values".to_string(),
            false => format!("is {} and not {}: not every value would arrive as it is", found.type_name, type_of(kind)),
        };
        Err(Error::integrity(format!("the column `{column}` of {name} {wrong}; nothing of the table was loaded")).hint(
            format!(
                "drop the column, and the next load adds and fills it: `ALTER TABLE {name} DROP COLUMN {}`; \
                 for another type make a view",
                column_name(column)
            ),
        ))
    };
    for (index, column) in table.columns.iter().enumerate() {
        if !check(&column.name, column.kind)? {
            lacks.columns.push(index);
        }
    }
    lacks.day = table.slices.is_some() && !check("date", Type::Date)?;
    Ok(lacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_that_hold_every_value_are_accepted() {
        for (type_name, holds) in [
            ("numeric", true),
            ("numeric(38,18)", true),
            ("numeric(60,30)", true),
            ("numeric(38,19)", false),
            ("numeric(30,18)", false),
            ("numeric(38,2)", false),
            ("double precision", false),
            ("money", false),
        ] {
            assert_eq!(Engine::Postgres.holds(Type::Decimal, type_name), holds, "{type_name}");
        }
        assert!(!Engine::Postgres.holds(Type::Timestamp, "timestamp without time zone"));
        assert!(!Engine::Postgres.holds(Type::String, "character varying(10)"));
        assert!(!Engine::Duckdb.holds(Type::Decimal, "DECIMAL(38,10)"));
    }
}
