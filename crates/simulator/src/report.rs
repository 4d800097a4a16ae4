//! Answers about usage and costs: entries of the ledger, cut into buckets, grouped,
//! summed up and written out page by page.

use std::collections::BTreeMap;

use super::dimension::Dimension;
use super::ledger::{self, Cell, Counting, Entry};
use super::money;
use super::pages::{check_limit, seal, unseal};
use super::query::{Query, quoted};
use super::random::Chance;
use super::refusal::Refusal;
use super::reports::PARAMETERS;
use super::world::{DAY, World};

/// What a report is about.
pub(super) struct Report {
    /// The branch of its ledger.
    pub(super) name: &'static str,
    /// `object` of its results.
    pub(super) tag: &'static str,
    pub(super) dimensions: &'static [Dimension],
    /// Dimensions that no parameter filters by.
    pub(super) unfiltered: &'static [Dimension],
    pub(super) counts: &'static [&'static str],
    pub(super) models: &'static [&'static str],
    pub(super) counting: Counting,
    /// It has one entry for so many of the largest report.
    pub(super) share: u64,
}

/// (name, seconds, default limit, highest limit)
type Width = (&'static str, i64, i64, i64);

const USAGE_WIDTHS: [Width; 3] = [("1d", DAY, 7, 31), ("1h", 3_600, 24, 168), ("1m", 60, 60, 1_440)];
const COST_WIDTHS: [Width; 1] = [("1d", DAY, 7, 180)];

/// Costs cannot be grouped by API key before this many days ago.
const KEY_EPOCH_DAYS: i64 = 300;
/// Answers about days before this many days ago lack the newest members.
const NEWEST_MEMBERS_DAYS: i64 = 30;

/// What a query asks for.
struct Asked<'q> {
    grouping: Vec<Dimension>,
    filters: Vec<(usize, Vec<&'q str>)>,
    width: i64,
    limit: i64,
    /// Start of the first bucket of the whole chain of pages.
    first: i64,
    /// Buckets that start before this moment are told.
    until: i64,
    /// Start of the first bucket of this page.
    from: i64,
}

impl Report {
    fn is_costs(&self) -> bool {
        matches!(self.counting, Counting::Money)
    }

    fn widths(&self) -> &'static [Width] {
        if self.is_costs() { &COST_WIDTHS } else { &USAGE_WIDTHS }
    }

    pub(super) fn known_parameters(&self) -> Vec<&'static str> {
        let filtered = self.dimensions.iter();
        let filters =
            filtered.filter(|dimension| !self.unfiltered.contains(dimension)).map(|dimension| dimension.filter());
        PARAMETERS.into_iter().chain(filters).collect()
    }

    /// The dimensions that the API offers now.
    pub(super) fn offered(&self, world: &World) -> Vec<Dimension> {
        let offered = self.dimensions.iter().copied();
        offered.filter(|&dimension| !(world.behavior.legacy_group_by && dimension == Dimension::ApiSource)).collect()
    }

    /// The finest grouping of a day.
    pub(super) fn finest(&self, world: &World, midnight: i64) -> Vec<Dimension> {
        let early = self.is_costs() && midnight < key_epoch(world);
        let mut grouping = self.offered(world);
        grouping.retain(|&dimension| !(early && dimension == Dimension::ApiKey));
        grouping
    }
}

fn key_epoch(world: &World) -> i64 {
    world.today - KEY_EPOCH_DAYS * DAY
}

/// The first moment of which the API tells anything, where it is limited.
pub(super) fn earliest(world: &World) -> Option<i64> {
    let days = world.behavior.lookback_limit_days?;
    let now = world.now();
    Some(now - now.rem_euclid(DAY) - i64::from(days) * DAY)
}

/// One page of buckets.
pub(super) fn page(world: &World, report: &Report, query: &Query) -> Result<String, Refusal> {
    let asked = read(world, report, query)?;
    let end = asked.from.saturating_add(asked.limit * asked.width);
    let shown_until = end.min(asked.until);
    let buckets: Vec<String> = groups(world, report, &asked, asked.from, shown_until)
        .into_iter()
        .map(|(start, groups)| {
            let results = write(world, report, &asked.grouping, start, &groups);
            format!(
                "{{\"object\":\"bucket\",\"start_time\":{start},\"end_time\":{},\"results\":[{}]}}",
                start + asked.width,
                results.join(",")
            )
        })
        .collect();
    let has_more = end < asked.until || ends_with_an_empty_page(report, &asked, buckets.is_empty());
    let next = has_more.then(|| seal(&format!("{end}/{}", fingerprint(query))));
    Ok(format!(
        "{{\"object\":\"page\",\"data\":[{}],\"has_more\":{has_more},\"next_page\":{}}}",
        buckets.join(","),
        serde_json::Value::from(next)
    ))
}

/// Costs at times name a next page behind the last one; that one is empty.
fn ends_with_an_empty_page(report: &Report, asked: &Asked, is_empty: bool) -> bool {
    report.is_costs() && !is_empty && asked.first.div_euclid(DAY) % 2 == 0
}

/// A page token serves the query that it was given for, and no other.
fn fingerprint(query: &Query) -> String {
    Chance::new(0).of(&query.without("page")).id("", 8)
}

fn read<'q>(world: &World, report: &Report, query: &'q Query) -> Result<Asked<'q>, Refusal> {
    let start = query.integer("start_time")?;
    let start = start.ok_or_else(|| Refusal::missing("start_time"))?;
    let end = query.integer("end_time")?.unwrap_or_else(|| world.now());
    if end <= start {
        return Err(Refusal::invalid("end_time", "end_time must be after start_time."));
    }
    let names: Vec<&str> = report.widths().iter().map(|width| width.0).collect();
    let name = query.one_of("bucket_width", &names)?.unwrap_or("1d");
    let (_, width, default, most) =
        report.widths().iter().find(|width| width.0 == name).copied().unwrap_or(COST_WIDTHS[0]);
    let limit = query.integer("limit")?.unwrap_or(default);
    check_limit(limit, 1, most)?;
    let grouping = grouping(world, report, query)?;
    check_start(world, report, &grouping, start)?;
    let first = start - start.rem_euclid(width);
    Ok(Asked {
        filters: filters(report, query),
        grouping,
        width,
        limit,
        first,
        until: end.min(world.now()),
        from: turned_to(query)?.unwrap_or(first),
    })
}

fn grouping(world: &World, report: &Report, query: &Query) -> Result<Vec<Dimension>, Refusal> {
    let offered = report.offered(world);
    let mut grouping = Vec::new();
    for name in query.all("group_by") {
        let found = offered.iter().find(|dimension| dimension.name() == name);
        let Some(&dimension) = found else {
            let names: Vec<&str> = offered.iter().map(|dimension| dimension.name()).collect();
            let message = format!("Invalid value: '{name}'. Supported values are: {}.", quoted(&names));
            return Err(Refusal::invalid("group_by", message));
        };
        grouping.push(dimension);
    }
    Ok(grouping)
}

fn check_start(world: &World, report: &Report, grouping: &[Dimension], start: i64) -> Result<(), Refusal> {
    if let (Some(earliest), Some(days)) = (earliest(world), world.behavior.lookback_limit_days)
        && start < earliest
    {
        return Err(Refusal::lookback(days, earliest));
    }
    let epoch = key_epoch(world);
    if report.is_costs() && grouping.contains(&Dimension::ApiKey) && start < epoch {
        let message = format!("group_by api_key_id is only supported for start_time at or after {epoch}");
        return Err(Refusal::invalid("group_by", message));
    }
    Ok(())
}

fn filters<'q>(report: &Report, query: &'q Query) -> Vec<(usize, Vec<&'q str>)> {
    let filtered = report.dimensions.iter().enumerate();
    filtered
        .map(|(position, dimension)| (position, query.all(dimension.filter())))
        .filter(|(_, wanted)| !wanted.is_empty())
        .collect()
}

/// Where the page token stands.
fn turned_to(query: &Query) -> Result<Option<i64>, Refusal> {
    let Some(token) = query.text("page") else {
        return Ok(None);
    };
    let opened = unseal(token).unwrap_or_default();
    match opened.split_once('/') {
        Some((from, mark)) if mark == fingerprint(query) => Ok(from.parse().ok()),
        Some(_) => {
            Err(Refusal::invalid("page", "The page token belongs to another query: send the same parameters again."))
        }
        None => Err(Refusal::invalid("page", "Invalid page token.")),
    }
}

type Groups = BTreeMap<Vec<Cell>, Vec<i64>>;

/// The buckets between two moments; also those in which nothing happened.
fn groups(world: &World, report: &Report, asked: &Asked, from: i64, until: i64) -> BTreeMap<i64, Groups> {
    let mut buckets = BTreeMap::new();
    let mut start = from;
    while start < until {
        buckets.insert(start, Groups::new());
        start += asked.width;
    }
    let mut midnight = from - from.rem_euclid(DAY);
    while midnight < until {
        for entry in ledger::day(world, report, midnight) {
            let start = entry.moment - entry.moment.rem_euclid(asked.width);
            if let Some(groups) = buckets.get_mut(&start)
                && passes(&entry, &asked.filters)
            {
                add(groups, report, &asked.grouping, entry);
            }
        }
        midnight += DAY;
    }
    buckets
}

fn passes(entry: &Entry, filters: &[(usize, Vec<&str>)]) -> bool {
    filters.iter().all(|(position, wanted)| match &entry.cells[*position] {
        Cell::Text(text) => wanted.contains(&text.as_str()),
        Cell::Flag(flag) => wanted.contains(&if *flag { "true" } else { "false" }),
        Cell::Null => false,
    })
}

fn add(groups: &mut Groups, report: &Report, grouping: &[Dimension], entry: Entry) {
    let cells = report.dimensions.iter().zip(entry.cells);
    let key: Vec<Cell> = cells
        .map(|(dimension, cell)| match grouping.contains(dimension) {
            true => cell,
            false => Cell::Null,
        })
        .collect();
    let sums = groups.entry(key).or_insert_with(|| vec![0; report.counts.len()]);
    for (sum, count) in sums.iter_mut().zip(entry.counts) {
        *sum += count;
    }
}

/// The results of one bucket, as JSON text.
fn write(world: &World, report: &Report, grouping: &[Dimension], start: i64, groups: &Groups) -> Vec<String> {
    let old = start < world.today - NEWEST_MEMBERS_DAYS * DAY || world.behavior.legacy_group_by;
    let offered = report.offered(world);
    let results = groups.iter().map(|(cells, sums)| {
        let mut members = vec![format!("\"object\":\"{}\"", report.tag)];
        if report.is_costs() {
            let itemized = grouping.contains(&Dimension::LineItem);
            members.extend(money::members(start, cells, sums, itemized));
        } else {
            let counts = report.counts.iter().zip(sums);
            let told = counts.filter(|(name, _)| !(old && is_newest(name)));
            members.extend(told.map(|(name, sum)| format!("\"{name}\":{sum}")));
        }
        for (dimension, cell) in report.dimensions.iter().zip(cells) {
            if offered.contains(dimension) {
                members.push(format!("\"{}\":{}", dimension.name(), text(cell)));
            }
        }
        format!("{{{}}}", members.join(","))
    });
    results.collect()
}

fn is_newest(count: &str) -> bool {
    count.contains("_write_30m_") || count.contains("_write_12h_")
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
    }
}

/// The results of a whole day, grouped by these.
pub(super) fn whole_day(world: &World, report: &Report, midnight: i64, grouping: Vec<Dimension>) -> Vec<String> {
    let asked = Asked {
        grouping,
        filters: Vec::new(),
        width: DAY,
        limit: 1,
        first: midnight,
        until: midnight + DAY,
        from: midnight,
    };
    groups(world, report, &asked, midnight, midnight + DAY)
        .values()
        .flat_map(|groups| write(world, report, &asked.grouping, midnight, groups))
        .collect()
}
