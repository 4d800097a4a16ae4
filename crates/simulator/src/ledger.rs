//! The ledger behind the reports: single entries, finer than any bucket or grouping.
//! Every report is a sum over them, so that all of its groupings agree.
//!
//! Entries of a day depend on the seed, the day, and how often the day was restated;
//! nothing that happens to users or keys changes the past.

use super::dimension::Dimension;
use super::projects::{self, Owner};
use super::random::Chance;
use super::report::Report;
use super::world::{DAY, World};

/// What a report counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counting {
    /// Money (in units of 10^-10 dollars) and quantity (in thousandths).
    Money,
    /// The seventeen kinds of tokens and requests of a completion.
    Completions,
    /// Numbers up to this one.
    Plain(u64),
}

/// The value of one dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Null,
    Flag(bool),
    Text(String),
}

pub(super) struct Entry {
    pub(super) moment: i64,
    /// In the order of the report's dimensions.
    pub(super) cells: Vec<Cell>,
    /// In the order of the report's counts.
    pub(super) counts: Vec<i64>,
}

/// (name, unit of the quantity, price of a thousandth of it in 10^-10 dollars)
type LineItem = (&'static str, Option<&'static str>, i64);

pub(super) const LINE_ITEMS: [LineItem; 10] = [
    ("gpt-5.2, input", Some("tokens"), 12),
    ("gpt-5.2, output", Some("tokens"), 101),
    ("gpt-5-mini, input", Some("1000_tokens"), 2_503),
    ("gpt-image-1, images", Some("images"), 400_007),
    ("whisper-1", Some("duration_seconds"), 1_001),
    ("gpt-realtime, audio", Some("duration_minutes"), 60_003),
    ("code interpreter", Some("duration_hours"), 300_000),
    ("file search storage", Some("gibibyte_hours"), 1_389),
    ("tts-1", Some("characters"), 150),
    ("support plan", None, 99_999),
];
/// Nothing is paid for it, and still it is listed.
const INCLUDED: &str = "web search, included";
/// A sum whose text is longer than its value: 0.0036275.
pub(super) const LONG_TEXT: i64 = 36_275_000;

const TIERS: [&str; 4] = ["default", "flex", "priority", "batch"];
const SIZES: [&str; 5] = ["256x256", "512x512", "1024x1024", "1792x1792", "1024x1792"];
const IMAGE_SOURCES: [&str; 3] = ["image.generation", "image.edit", "image.variation"];
const LEVELS: [&str; 3] = ["low", "medium", "high"];

/// Who is behind an entry, or nobody that is known.
struct Origin {
    project: usize,
    user: Cell,
    key: Cell,
}

/// All entries of the day that begins at this midnight and that are metered by now.
pub(super) fn day(world: &World, report: &Report, midnight: i64) -> Vec<Entry> {
    if midnight < world.history_start() {
        return Vec::new();
    }
    let chance = world.chance.of("ledger").of(report.name);
    let chance = chance.at(midnight.div_euclid(DAY).unsigned_abs());
    let restated = world.changes.restated.get(&midnight).copied().unwrap_or(0);
    let mut entries: Vec<Entry> = (0..entry_count(world, report, midnight, chance))
        .map(|number| ordinary(world, report, midnight, chance.at(number), restated))
        .collect();
    if !entries.is_empty() {
        entries.extend(special(world, report, midnight, chance, restated));
    }
    entries.retain(|entry| entry.moment < world.metered_until());
    entries
}

/// Fewer at week-ends; the smaller reports have days without any.
fn entry_count(world: &World, report: &Report, midnight: i64, chance: Chance) -> u64 {
    let weekday = (midnight.div_euclid(DAY) + 4).rem_euclid(7);
    let weekend = weekday == 0 || weekday == 6;
    if report.share > 1 && chance.of("idle").once_in(6) {
        return 0;
    }
    let all = world.options.ledger_entries as u64 / report.share;
    let count = if weekend { all / 3 } else { all };
    count.max(1)
}

fn ordinary(world: &World, report: &Report, midnight: i64, chance: Chance, restated: u64) -> Entry {
    let origin = origin(world, chance);
    let item = chance.of("line item").index(LINE_ITEMS.len());
    let moved = restated > 0 && chance.at(restated).of("restated").once_in(3);
    let percent = if moved { 100 + 7 * restated.cast_signed() } else { 100 };
    Entry {
        moment: midnight + 60 * chance.of("minute").below(1_440).cast_signed(),
        cells: cells(world, report, chance, &origin, LINE_ITEMS[item].0),
        counts: counts(report, chance, item, percent),
    }
}

/// Entries that nobody is known for. The first moves to another project each time the day
/// is restated: a row of the finest grouping disappears and another one appears.
fn special(world: &World, report: &Report, midnight: i64, chance: Chance, restated: u64) -> Vec<Entry> {
    let chance = chance.of("special");
    let number = |turn: u64| {
        let position = midnight.div_euclid(DAY).unsigned_abs() + turn;
        usize::try_from(position % world.projects.len() as u64).unwrap_or(0)
    };
    let entry = |project: usize, item: &str, counts: Vec<i64>| {
        let origin = Origin { project, user: Cell::Null, key: Cell::Null };
        Entry { moment: midnight, cells: cells(world, report, chance, &origin, item), counts }
    };
    let mut entries = vec![entry(number(restated), LINE_ITEMS[0].0, counts(report, chance, 0, 100))];
    if matches!(report.counting, Counting::Money) {
        entries.push(entry(number(0), INCLUDED, vec![0, 12_000]));
        entries.push(entry(number(0), LINE_ITEMS[8].0, vec![LONG_TEXT, 24_500]));
    }
    entries
}

/// Small numbers come more often: some projects are used much more than others.
fn origin(world: &World, chance: Chance) -> Origin {
    let all = world.projects.len();
    let project = chance.of("project").index(all) * (chance.of("skew").index(all) + 1) / all;
    let keys = projects::key_count(world, project).min(6);
    let key = chance.of("key").index(keys);
    let id = projects::key_id(world, project, key);
    let (user, key) = match projects::key_owner(world, project, key) {
        Owner::ServiceAccount(_) => (Cell::Null, Cell::Text(id)),
        Owner::Former => {
            let user = projects::former_member(world, project);
            (Cell::Text(user), Cell::Text(id))
        }
        Owner::User(user) => {
            let user = Cell::Text(world.user_id(user).to_owned());
            // Work in the browser needs no key.
            let key = if chance.of("browser").once_in(9) { Cell::Null } else { Cell::Text(id) };
            (user, key)
        }
    };
    Origin { project, user, key }
}

fn cells(world: &World, report: &Report, chance: Chance, origin: &Origin, line_item: &str) -> Vec<Cell> {
    let text = |words: &[&str], branch: &str| Cell::Text(chance.of(branch).pick(words).to_owned());
    let cell = |dimension: &Dimension| match dimension {
        Dimension::Project => Cell::Text(world.project_id(origin.project).to_owned()),
        Dimension::User => origin.user.clone(),
        Dimension::ApiKey => origin.key.clone(),
        Dimension::Model => text(report.models, "model"),
        Dimension::Batch => Cell::Flag(chance.of("batch").once_in(5)),
        Dimension::ServiceTier => text(&TIERS, "tier"),
        Dimension::ApiSource if chance.of("source").once_in(4) => Cell::Text("agents_api".into()),
        Dimension::ApiSource => Cell::Text("unlabeled".into()),
        Dimension::LineItem => Cell::Text(line_item.to_owned()),
        Dimension::ImageSize => text(&SIZES, "size"),
        Dimension::ImageSource => text(&IMAGE_SOURCES, "image source"),
        Dimension::ContextLevel => text(&LEVELS, "level"),
        Dimension::VectorStore => {
            let store = world.chance.of("vector store").at(origin.project as u64);
            Cell::Text(store.at(chance.of("store").below(2)).id("vs_", 24))
        }
    };
    report.dimensions.iter().map(cell).collect()
}

fn counts(report: &Report, chance: Chance, item: usize, percent: i64) -> Vec<i64> {
    let part = |name: &str, most: i64| chance.of(name).between(0, most) * percent / 100;
    match report.counting {
        Counting::Money => {
            let quantity = part("quantity", 90_000_000) + 1;
            let price = LINE_ITEMS[item].2;
            vec![quantity / 1_000 * price + chance.of("cents").between(0, 999), quantity]
        }
        Counting::Completions => completion(part),
        Counting::Plain(most) => {
            report.counts.iter().map(|name| part(name, i64::try_from(most).unwrap_or(i64::MAX)) + 1).collect()
        }
    }
}

/// The parts first, then their sums: they always add up.
fn completion(part: impl Fn(&str, i64) -> i64) -> Vec<i64> {
    let text = part("text", 400_000) + 1;
    let (audio, image) = (part("audio", 9_000), part("image", 20_000));
    let cached = [part("cached text", 200_000), part("cached audio", 4_000), part("cached image", 5_000)];
    let (short, long) = (part("write 30m", 30_000), part("write 12h", 10_000));
    let output = [part("output text", 90_000) + 1, part("output audio", 5_000), part("output image", 4_000)];
    let uncached = text + audio + image;
    let all_cached: i64 = cached.iter().sum();
    vec![
        uncached + all_cached + short + long,
        all_cached,
        short + long,
        short,
        long,
        uncached,
        output.iter().sum(),
        text,
        output[0],
        cached[0],
        audio,
        cached[1],
        output[1],
        image,
        cached[2],
        output[2],
        part("requests", 500) + 1,
    ]
}
