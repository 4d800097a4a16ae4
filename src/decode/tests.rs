//! Cases of whole answers that were got wrong once: found by fuzzing, or by reading what it pointed at.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;

use super::*;
use crate::schema::Catalog;

fn decoder(table: &str) -> Decoder {
    Decoder::new(Arc::clone(Catalog::load(None).unwrap().get(table).unwrap()), 0)
}

fn bound(_: &str) -> Option<String> {
    Some("bound".to_string())
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let values = batch.column_by_name(column).unwrap().as_string::<i32>();
    values.iter().map(|v| v.map(str::to_string)).collect()
}

fn page(table: &str, text: &str) -> RecordBatch {
    let mut decoder = decoder(table);
    decoder.page(text, &bound).unwrap();
    decoder.take().unwrap()
}

/// A whole-record column once refused what was scanned before, in the middle of a row:
/// columns of unequal length, and no row of the file could be had.
#[test]
fn a_record_nested_as_deeply_as_allowed_is_kept_whole() {
    let deep = |depth: usize| format!("{{\"event_id\":\"deep\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let mut decoder = decoder("log_other");
    let text = format!("{}\n{}\n{{\"event_id\":\"good\"}}", deep(json::MAX_DEPTH), deep(json::MAX_DEPTH + 1));
    let (rows, errors) = decoder.lines(&text, &bound);
    assert_eq!((rows, errors.len()), (2, 1));
    let ids = texts(&decoder.take().unwrap(), "event_id");
    assert_eq!(ids, [Some("deep".to_string()), Some("good".to_string())]);
}

/// After a broken line, the end of the file was once read a second time where a record went over several lines.
#[test]
fn a_record_over_several_lines_is_read_once() {
    let record = "{\"event_id\":\"a\",\"list\":[\n{\"event_id\":\"inner\"}\n]}";
    for text in [record.to_string(), format!("broken\n{record}"), format!("broken\n{record}\n")] {
        let mut decoder = decoder("log_other");
        let (rows, errors) = decoder.lines(&text, &bound);
        assert_eq!((rows, errors.len()), (1, usize::from(text.starts_with("broken"))), "{text}");
    }
}

#[test]
fn a_broken_line_is_told_by_its_number() {
    let (rows, errors) = decoder("log_other").lines("{\"event_id\":\"a\"}\n\nbroken\n{\"event_id\":\n]\n", &bound);
    let told: Vec<String> = errors.iter().map(|e| e.to_string()).collect();
    assert_eq!(rows, 1);
    assert!(
        told[0].starts_with("line 3:") && told[1].starts_with("line 4:") && told[2].starts_with("line 5:"),
        "{told:?}"
    );
}

/// The payload of an event stands under the event's type. A type that names a secret was once no reason to hide it.
#[test]
fn a_member_named_by_a_column_is_redacted_by_its_own_name() {
    let text = r#"{"data":[{"id":"1","type":"client_secret","client_secret":"sk-1"},{"id":"2","type":"logout","logout":{"a":1}}]}"#;
    let batch = page("audit_logs", text);
    assert_eq!(texts(&batch, "details"), [Some("\"[redacted]\"".to_string()), Some("{\"a\":1}".to_string())]);
}

/// A number was once cut at both ends, as if it stood in quotes.
#[test]
fn only_a_text_names_a_member() {
    let batch = page("audit_logs", r#"{"data":[{"id":"1","type":1234,"23":"x"}]}"#);
    assert_eq!(texts(&batch, "details"), [None]);
    assert_eq!(texts(&batch, "_extra"), [Some("{\"23\":\"x\"}".to_string())]);
}

/// What stands one and two levels out was once kept in one place, and the second one was lost.
#[test]
fn what_encloses_a_record_is_kept_level_by_level() {
    let text = r#"{"data":[{"id":"user","x":1,"memory_contexts":[{"x":2,"memory_entries":[{"id":"m","x":3}]}]}]}"#;
    let batch = page("chatgpt_memories", text);
    assert_eq!(texts(&batch, "_extra"), [Some(r#"{"..":{"..":{"x":1},"x":2},"x":3}"#.to_string())]);
}

/// The first list was once dropped without a word.
#[test]
fn a_list_that_comes_twice_is_an_error() {
    let text = r#"{"data":[{"id":"1"}],"data":[]}"#;
    let error = decoder("users").page(text, &bound).unwrap_err().to_string();
    assert!(error.contains("comes twice"), "{error}");
}

/// Unknown members were once compared each with each: this took minutes.
#[test]
fn a_record_of_very_many_unknown_members_is_decoded() {
    let members: Vec<String> = (0..200_000).map(|n| format!("\"x{n}\":{n}")).collect();
    let batch = page("users", &format!("{{\"data\":[{{\"id\":\"1\",{}}}]}}", members.join(",")));
    assert_eq!(texts(&batch, "_extra")[0].as_ref().map(|t| t.matches(':').count()), Some(200_000));
}

/// A column with two spellings: what came by the second one and did not fit was once kept in the place of the first.
#[test]
fn what_does_not_fit_is_kept_where_it_stood() {
    let text = r#"{"data":[{"user_id":"u","code_attribution":{"lines_added":0.5,"lines_of_code":true}}]}"#;
    let batch = page("codex_usage", text);
    let extra = texts(&batch, "_extra").remove(0).unwrap();
    assert_eq!(extra, r#"{"code_attribution":{"lines_of_code":true,"lines_added":0.5}}"#);
}

/// A list inside a record is walked where it stands, and once more when something of the record comes after it.
#[test]
fn what_encloses_a_list_may_stand_before_or_after_it() {
    let results = r#""results":[{"input_tokens":"many","model":"a"},{"input_tokens":2,"model":"b","new":[1]}]"#;
    let (times, new) = (r#""start_time":1700000000,"end_time":1700086400"#, r#""badge":{"of":"the bucket"}"#);
    let buckets = |orders: [[&str; 3]; 3]| {
        let buckets = orders.map(|order| format!("{{{}}}", order.join(",")));
        format!("{{\"data\":[{}]}}", buckets.join(","))
    };
    let decode = |text: String| {
        let mut decoder = decoder("usage_completions");
        assert_eq!(decoder.page(&text, &bound).unwrap(), 6);
        let misfits: Vec<u64> = decoder.misfits().values().map(|m| m.count).collect();
        assert_eq!(misfits, [3], "each value that does not fit is counted once");
        decoder.take().unwrap()
    };
    let before = decode(buckets([[times, new, results]; 3]));
    let extra = [r#""input_tokens":"many""#, r#""new":[1]"#];
    let extra = extra.map(|more| Some(format!(r#"{{"..":{{"badge":{{"of":"the bucket"}}}},{more}}}"#)));
    assert_eq!(texts(&before, "_extra").chunks(2).collect::<Vec<_>>(), [&extra; 3]);
    let orders = [[times, results, new], [results, times, new], [results, new, times], [new, results, times]];
    for (first, second) in orders.iter().flat_map(|a| orders.iter().map(move |b| (*a, *b))) {
        assert_eq!(decode(buckets([[times, new, results], first, second])), before, "{first:?} {second:?}");
    }
}

fn alone(columns: &str) -> Decoder {
    let text = format!(
        "doc = \"d\"\nkey = [\"id\"]\npaging = \"none\"\n[request]\npath = \"/x\"\nrows = [\"/data\", \"/results\"]\n[columns]\n{columns}"
    );
    let catalog = Catalog::alone(&text).unwrap();
    Decoder::new(Arc::clone(catalog.get("alone").unwrap()), 0)
}

/// What encloses records stands for all of them, and for none after them; what it gives comes first.
#[test]
fn a_column_can_come_from_a_record_or_from_what_encloses_it() {
    let mut decoder = alone(
        "id = { type = \"string\", doc = \"d\" }\n\
         n = { type = \"int\", from = [\"/n\", \"../n\"], doc = \"d\" }\n",
    );
    let text = r#"{"data":[
        {"n":1,"results":[{"id":"a"},{"id":"b","n":2}]},
        {"results":[{"id":"c","n":3},{"id":"d"}]},
        {"n":"x","results":[{"id":"e","n":4},{"id":"f"}]},
        {"n":null,"results":[{"n":5,"id":"g"}],"n":6}]}"#;
    assert_eq!(decoder.page(text, &bound).unwrap(), 7);
    assert_eq!(decoder.misfits().get("n").map(|m| m.count), Some(2));
    let batch = decoder.take().unwrap();
    let numbers = batch.column_by_name("n").unwrap().as_primitive::<arrow_array::types::Int64Type>();
    assert_eq!(numbers.iter().collect::<Vec<_>>(), [Some(1), Some(1), Some(3), None, None, None, Some(6)]);
    let extra = [
        None,
        Some(r#"{"n":2}"#),
        None,
        None,
        Some(r#"{"n":4,"..":{"n":"x"}}"#),
        Some(r#"{"..":{"n":"x"}}"#),
        Some(r#"{"n":5}"#),
    ];
    assert_eq!(texts(&batch, "_extra"), extra.map(|text| text.map(str::to_string)));
}

/// Values are in their columns before the record is at its end. When it has none, they are taken back.
#[test]
fn half_a_record_leaves_nothing_behind() {
    let good = r#"{"data":[{"results":[{"id":"a","n":1,"t":"x"}]}]}"#;
    for broken in [
        r#"{"data":[{"t":"of all","results":[{"id":"b","n":2,"t":"y"},{"id":"c","n":3,"#,
        r#"{"data":[{"t":"of all","results":[{"id":"b","n":2,"t":"y"},{"n":3,"t":"z"}]}]}"#,
        r#"{"data":[{"t":"of all","results":[{"id":"b","n":2,"t":"y"},7]}]}"#,
    ] {
        let mut decoder = alone(
            "id = { type = \"string\", doc = \"d\" }\n\
             n = { type = \"int\", doc = \"d\" }\n\
             t = { type = \"string\", from = [\"/t\", \"../t\"], doc = \"d\" }\n",
        );
        decoder.page(broken, &bound).unwrap_err();
        assert_eq!(decoder.page(good, &bound).unwrap(), 1);
        let batch = decoder.take().unwrap();
        let some = |texts: [&str; 2]| texts.map(|text| Some(text.to_string()));
        assert_eq!(texts(&batch, "id"), some(["b", "a"]), "{broken}");
        assert_eq!(texts(&batch, "t"), some(["of all", "x"]), "{broken}");
    }
}
