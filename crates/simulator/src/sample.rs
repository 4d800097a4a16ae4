//! Records written as data: `samples/<table>.json` holds the variants in which a record
//! comes, as templates. A text such as `{id}`, `{at:600}` or `{evals.id}` is filled in;
//! where it is the whole text, what it stands for keeps its type.

use std::cell::Cell;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};

use super::collection;
use super::place::Place;
use super::random::Chance;
use super::route::{self, Answer};
use super::world::{ORGANIZATION, World};

/// What the blanks of one record are filled with.
pub(super) struct Blanks<'a> {
    pub(super) world: &'a World,
    pub(super) place: &'a Place,
    pub(super) chance: Chance,
    pub(super) id: &'a str,
    pub(super) number: usize,
    /// When the record was made.
    pub(super) moment: i64,
    /// Tells blanks of the same name apart.
    pub(super) filled: Cell<u64>,
}

pub(super) fn fill(template: &Value, blanks: &Blanks) -> Value {
    match template {
        Value::String(text) => blanks.text(text),
        Value::Array(items) => items.iter().map(|item| fill(item, blanks)).collect(),
        Value::Object(members) => {
            let filled = members.iter().map(|(name, value)| (name.clone(), fill(value, blanks)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

impl Blanks<'_> {
    fn text(&self, text: &str) -> Value {
        let whole = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        if let Some(value) = whole.and_then(|name| self.blank(name)) {
            return value;
        }
        let mut written = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            written.push_str(before);
            let blank = after.split_once('}').and_then(|(name, after)| Some((self.blank(name)?, after)));
            match blank {
                Some((Value::String(value), after)) => {
                    written.push_str(&value);
                    rest = after;
                }
                Some((value, after)) => {
                    written.push_str(&value.to_string());
                    rest = after;
                }
                None => {
                    written.push('{');
                    rest = after;
                }
            }
        }
        written.push_str(rest);
        written.into()
    }

    fn blank(&self, name: &str) -> Option<Value> {
        let (word, argument) = name.split_once(':').unwrap_or((name, ""));
        Some(match word {
            "id" => self.id.into(),
            "n" => self.number.into(),
            "n1" => (self.number + 1).into(),
            "digits" => (self.number + 1).to_string().into(),
            "at" => (self.moment + argument.parse::<i64>().ok()?).into(),
            "fraction" => (self.moment as f64 + argument.parse::<f64>().ok()? + 0.25).into(),
            "iso" => iso(self.moment + argument.parse::<i64>().ok()?, self.micros()).into(),
            "day" => iso(self.moment, 0)[..10].into(),
            "hour" => (self.moment.rem_euclid(86_400) / 3_600).into(),
            "count" => self.next(word).below(argument.parse().ok()?).into(),
            "ref" => self.next(word).id(argument, 20).into(),
            "uuid" => uuid(self.next(word)).into(),
            "user" => self.person().0.into(),
            "email" => self.person().1.into(),
            "person" => self.person().2.into(),
            "account_user" => format!("{}__{}", self.person().0, self.world.workspace_id(self.place.workspace)).into(),
            "workspace" => self.world.workspace_id(self.place.workspace).into(),
            "organization" => ORGANIZATION.into(),
            "like" => fill(self.like(argument)?, self),
            "project" => self.world.project_id(self.place.project).into(),
            _ => self.place.value(name)?.into(),
        })
    }

    /// A variant of another table's records.
    fn like(&self, table: &str) -> Option<&'static Value> {
        let Some(Answer::Collection(list)) = route::named(table).map(|route| &route.answer) else {
            return None;
        };
        let variants = collection::parsed(list.samples);
        variants.get(self.number % variants.len().max(1))
    }

    fn next(&self, word: &str) -> Chance {
        self.filled.set(self.filled.get() + 1);
        self.chance.of(word).at(self.filled.get())
    }

    /// One person throughout a record.
    fn person(&self) -> (String, String, String) {
        let user = self.place.person.unwrap_or_else(|| self.chance.of("person").index(self.world.users.len()));
        let user = self.world.users.get(user);
        user.map(|user| (user.id.clone(), user.email.clone(), user.name.clone())).unwrap_or_default()
    }

    fn micros(&self) -> u32 {
        u32::try_from(self.chance.of("micros").below(1_000_000)).unwrap_or(0)
    }
}

/// ISO 8601 with microseconds, as the log files write it.
pub(super) fn iso(seconds: i64, micros: u32) -> String {
    let moment = DateTime::from_timestamp(seconds, micros * 1_000).unwrap_or_default();
    moment.to_rfc3339_opts(SecondsFormat::Micros, true)
}

pub(super) fn uuid(chance: Chance) -> String {
    let group = |number: u64| chance.at(number).below(1 << 16);
    let [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(group);
    let (version, variant) = (0x4000 | (d & 0x0FFF), 0x8000 | (e & 0x3FFF));
    format!("{a:04x}{b:04x}-{c:04x}-{version:04x}-{variant:04x}-{f:04x}{g:04x}{h:04x}")
}
