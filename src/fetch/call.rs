//! What one request says: the table's request, the values bound into it, the window, the page.
//!
//! Pure. Arrays go as `name[]=a&name[]=b`, as the official SDKs send them.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::plan::Window;
use crate::schema::{Format, Method, Parameter, Parameters, Table};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Below the surface's base URL, percent-encoded.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<serde_json::Map<String, serde_json::Value>>,
    pub(crate) headers: Vec<(String, String)>,
    /// A file may be elsewhere: a redirect is a good answer.
    pub(super) is_file: bool,
}

impl Call {
    /// The first page's request. `without` are values of lists that the API refused.
    pub(crate) fn new<'a>(
        table: &Table,
        bound: impl Fn(&str) -> Option<&'a str>,
        window: Option<Window>,
        pass: usize,
        without: &[String],
    ) -> Result<Call, String> {
        let request = &table.request;
        let mut call = Call {
            method: request.method,
            path: request.path.fill(bound)?,
            query: Vec::new(),
            body: None,
            is_file: false,
            headers: request.headers.0.iter().filter_map(|(n, v)| Some((n.clone(), text(v)?.to_string()))).collect(),
        };
        if request.method == Method::Post {
            call.body = Some(serde_json::Map::new());
            call.set_all(&request.body, &[]);
        }
        for (name, value) in &request.query.0 {
            call.query(name, value, without);
        }
        if let (Some(window), Some(slices)) = (window, &table.slices) {
            // Lists of files exclude both ends of a window: they overlap by a second instead.
            let overlap = chrono::Duration::seconds(i64::from(table.files.is_some()));
            let start = window.start - overlap;
            call.set(&slices.since, &Parameter::Literal(moment(start, slices.format)), &[]);
            call.set(&slices.until, &Parameter::Literal(moment(window.end, slices.format)), &[]);
        }
        if let Some(paging) = &table.paging {
            call.set_all(&paging.size, &[]);
        }
        if let Some(pass) = request.passes.get(pass) {
            call.set_all(pass, &[]);
        }
        Ok(call)
    }

    /// A file's download.
    pub(crate) fn file(path: String, query: Vec<(String, String)>) -> Call {
        Call { method: Method::Get, path, query, body: None, headers: Vec::new(), is_file: true }
    }

    /// What a table's own query is about, asked at another path.
    pub(crate) fn aside(table: &Table, path: String) -> Call {
        let mut call = Call { is_file: false, ..Call::file(path, Vec::new()) };
        call.set_all(&table.request.query, &[]);
        call
    }

    /// The same request for the page of `token`.
    pub(crate) fn page(&self, send: &str, token: &str) -> Call {
        let mut call = self.clone();
        call.query.retain(|(name, _)| name != send);
        call.set(send, &Parameter::One(token.to_string()), &[]);
        call
    }

    fn set_all(&mut self, parameters: &Parameters, without: &[String]) {
        for (name, value) in &parameters.0 {
            self.set(name, value, without);
        }
    }

    /// A POST carries its parameters in the body, a GET in the query.
    fn set(&mut self, name: &str, value: &Parameter, without: &[String]) {
        match &mut self.body {
            Some(body) => {
                body.insert(name.to_string(), json(value));
            }
            None => self.query(name, value, without),
        }
    }

    fn query(&mut self, name: &str, value: &Parameter, without: &[String]) {
        match value {
            Parameter::One(text) | Parameter::Literal(text) => self.query.push((name.to_string(), text.clone())),
            Parameter::Many(items) => {
                let kept = items.iter().filter(|i| !without.contains(i));
                self.query.extend(kept.map(|item| (format!("{name}[]"), item.clone())));
            }
        }
    }
}

fn text(value: &Parameter) -> Option<&str> {
    match value {
        Parameter::One(text) | Parameter::Literal(text) => Some(text),
        Parameter::Many(_) => None,
    }
}

fn json(value: &Parameter) -> serde_json::Value {
    match value {
        Parameter::One(text) => text.as_str().into(),
        Parameter::Literal(literal) => serde_json::from_str(literal).unwrap_or_else(|_| literal.as_str().into()),
        Parameter::Many(items) => items.clone().into(),
    }
}

/// Whole Unix seconds, rounded so that a window never loses a second at its edges.
fn moment(time: DateTime<Utc>, format: Format) -> String {
    match format {
        Format::Unix => time.timestamp().to_string(),
        Format::Iso => time.to_rfc3339_opts(SecondsFormat::Micros, true),
    }
}
