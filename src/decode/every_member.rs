//! Any JSON type, and any text, in the place of any member of any table.
//!
//! The cases are made from the catalog: each member that a column's value is at or inside of, at each level, is
//! replaced by each of some values in a record that is sound otherwise.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use serde_json::{Map, Value, json};

use super::*;
use crate::schema::{Catalog, Type};

/// A member of some level: how far out from the record, and its names.
type Place = (usize, Vec<String>);

/// Each member at which, or inside of which, a column has its value or the list of records is.
fn places(table: &Table) -> Vec<Place> {
    let depth = table.record_rows.len();
    let pointers = table.columns.iter().filter_map(|column| match &column.from {
        From::Record(pointers) => Some(pointers),
        _ => None,
    });
    let lists = table.record_rows.iter().enumerate().map(|(level, pointer)| (depth - level, pointer.clone()));
    let all: Vec<(usize, Pointer)> = pointers.flatten().cloned().chain(lists).collect();
    let mut places: Vec<Place> =
        all.iter().flat_map(|(up, p)| (1..=p.0.len()).map(|length| (*up, p.0[..length].to_vec()))).collect();
    places.sort();
    places.dedup();
    places
}

/// Sets a member, and makes the objects around it; nothing happens where something else is in the way.
fn set(record: &mut Value, path: &[String], value: Value) {
    let Some(members) = record.as_object_mut() else { return };
    match path {
        [] => {}
        [name] => {
            members.entry(name.clone()).or_insert(value);
        }
        [name, rest @ ..] => set(members.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())), rest, value),
    }
}

/// An answer, or a line, with one record that has its key and its time, and `odd` at a place.
fn answer(table: &Table, (up, path): &Place, odd: &Value) -> String {
    let depth = table.record_rows.len();
    let mut inner = None;
    for level in (0..=depth).rev() {
        let mut record = Value::Object(Map::new());
        if depth - level == *up {
            set(&mut record, path, odd.clone());
        }
        if let (Some(list), Some(inner)) = (table.record_rows.get(level), inner.take()) {
            set(&mut record, &list.0, Value::Array(vec![inner]));
        }
        let by = table.slices.as_ref().map(|slices| slices.by);
        for column in table.key.iter().copied().chain(by) {
            let From::Record(pointers) = &table.columns[column].from else { continue };
            let Some((_, pointer)) = pointers.first().filter(|(up, _)| *up == depth - level) else { continue };
            set(&mut record, &pointer.0, sound(table.columns[column].kind));
        }
        inner = Some(record);
    }
    inner.unwrap_or_default().to_string()
}

fn sound(kind: Type) -> Value {
    match kind {
        Type::Timestamp | Type::Int | Type::Float | Type::Decimal => json!(1_764_288_000),
        Type::Date => json!("2026-11-28"),
        Type::Bool => json!(true),
        Type::String | Type::Json => json!("sound"),
    }
}

/// The rows of a text for this table, or why there are none; and the decoder.
fn decoded(table: &Arc<Table>, text: &str) -> (std::result::Result<RecordBatch, String>, Decoder) {
    let mut decoder = Decoder::new(Arc::clone(table), 0);
    let bound = |_: &str| Some("bound".to_string());
    let outcome = match table.files {
        None => decoder.page(text, &bound).map(|_| ()).map_err(|e| e.to_string()),
        Some(_) => decoder.lines(text, &bound).1.first().map_or(Ok(()), |e| Err(e.to_string())),
    };
    let batch = outcome.and_then(|()| decoder.take().map_err(|e| e.to_string()));
    (batch, decoder)
}

/// Columns with a pointer that leads to the place, or through it; and whether it leads through it.
fn reached<'t>(table: &'t Table, (up, path): &Place) -> Vec<(&'t str, usize, bool)> {
    let mut reached = Vec::new();
    for (index, column) in table.columns.iter().enumerate() {
        let From::Record(pointers) = &column.from else { continue };
        for (_, pointer) in pointers.iter().filter(|(u, p)| u == up && p.0.starts_with(path)) {
            reached.push((column.name.as_str(), index, pointer.0.len() > path.len()));
        }
    }
    reached
}

#[test]
fn any_type_in_the_place_of_any_member_is_counted_or_an_error() {
    let odd = [
        json!(12.5),
        json!("x"),
        json!(""),
        json!(true),
        json!([]),
        json!([1]),
        json!([{}]),
        json!({"zz": 1}),
        Value::Null,
    ];
    let (mut cases, mut counted) = (0, 0);
    for table in Catalog::load(None).unwrap().iter() {
        for place in places(table) {
            for odd in &odd {
                let text = answer(table, &place, odd);
                let (batch, decoder) = decoded(table, &text);
                let case = format!("{} {place:?} {text}", table.name);
                cases += 1;
                let on_the_way =
                    table.record_rows.iter().enumerate().any(|(level, list)| {
                        table.record_rows.len() - level == place.0 && list.0.starts_with(&place.1)
                    });
                let Ok(batch) = batch else {
                    counted += 1;
                    continue;
                };
                assert!(!on_the_way || odd.is_null() || odd.is_array() || odd.is_object(), "a list is lost: {case}");
                if on_the_way {
                    continue;
                }
                assert_eq!(batch.num_rows(), 1, "{case}");
                for (name, index, is_inside) in reached(table, &place) {
                    let fits = match is_inside {
                        true => odd.is_object() || odd.is_null(),
                        false => odd.is_null() || !batch.column(index).is_null(0),
                    };
                    let count = decoder.misfits().get(name).map_or(0, |m| m.count);
                    assert!(fits || count > 0, "`{name}` is silent: {case}");
                    assert!(!odd.is_null() || count == 0, "`{name}` counts a null: {case}");
                    counted += usize::from(!fits);
                    let kept = texts(&batch, "_extra").is_some_and(|extra| extra.contains(&odd.to_string()));
                    let is_secret = place.1.iter().any(|name| keep::is_secret(name));
                    assert!(fits || kept || is_secret, "`{name}` is not kept: {case}");
                }
            }
        }
    }
    assert!(cases > 10_000 && counted > 5_000, "{cases} cases, {counted} counted");
}

fn texts(batch: &RecordBatch, column: &str) -> Option<String> {
    let values = batch.column_by_name(column)?.as_string::<i32>();
    values.is_valid(0).then(|| values.value(0).to_string())
}

#[test]
fn any_text_anywhere_is_text_that_every_reader_parses() {
    let halves =
        [r"half \ud83d text", r"\uDE00", r"\ude00\ud83d", r"\ud83d\u0041", r"nul \u0000", r"\u202e bidi \u2066"];
    let mut cases = 0;
    for table in Catalog::load(None).unwrap().iter() {
        let unknown = (0, vec!["zz".to_string(), "inside".to_string()]);
        for (place, half) in places(table).into_iter().chain([unknown]).zip(halves.iter().cycle()) {
            for marked in [json!("MARK"), json!({"MARK": ["MARK", {"y": "MARK"}]})] {
                let text = answer(table, &place, &marked).replace("MARK", half);
                let (batch, decoder) = decoded(table, &text);
                // A key that is no text, or a list that is none, is an error in any case.
                let Ok(batch) = batch else { continue };
                let case = format!("{} {place:?} {text}", table.name);
                check(table, &batch, &case);
                let replaced = shown(&batch).any(|text| text.contains('\u{fffd}') || text.contains("\\ufffd"));
                assert_eq!(replaced, decoder.repaired().total() > 0, "{case}");
                cases += 1;
            }
        }
    }
    assert!(cases > 2_000, "{cases}");
}

fn shown(batch: &RecordBatch) -> impl Iterator<Item = String> {
    let columns = batch.columns().iter().filter(|column| *column.data_type() == DataType::Utf8);
    columns.flat_map(|column| column.as_string::<i32>().iter().flatten().map(str::to_string).collect::<Vec<_>>())
}

/// JSON is parsed with all its strings, and has no NUL.
fn check(table: &Table, batch: &RecordBatch, case: &str) {
    for (column, array) in table.columns.iter().zip(batch.columns()) {
        if column.kind == Type::Json && array.is_valid(0) {
            let text = array.as_string::<i32>().value(0);
            serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("`{}`: {e}: {text}: {case}", column.name));
            assert!(!text.contains("\\u0000"), "`{}`: {text}: {case}", column.name);
        }
    }
}
