//! One row of the workspaces' usage analytics, as a function of workspace, user and day.

use serde_json::{Value, json};

use super::random::Chance;
use super::world::{DAY, World};

/// Whose usage a row tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Product {
    Codex,
    Everything,
}

impl Product {
    fn tag(self) -> &'static str {
        match self {
            Product::Codex => "workspace.codex.usage.result",
            Product::Everything => "workspace.usage.result",
        }
    }

    fn clients(self) -> &'static [&'static str] {
        match self {
            Product::Codex => &["CODEX_CLI", "CODEX_WEB", "CODEX_IDE_VSCODE", "CODEX_GITHUB", "CODEX_LINEAR"],
            Product::Everything => &["CHATGPT_WEB", "CHATGPT_IOS", "CODEX_CLI", "CODEX_WORK_WEB"],
        }
    }
}

const MODELS: [&str; 4] = ["gpt-5.1-codex", "gpt-5.1-codex-max", "gpt-5.1", "other"];
const TOKENS: [&str; 4] =
    ["uncached_text_input_tokens", "cached_text_input_tokens", "text_output_tokens", "text_total_tokens"];

/// The numbers of a day change each time it is restated.
fn chance(world: &World, workspace: usize, what: &str, day: i64) -> Chance {
    let revision = world.changes.restated.get(&day).copied().unwrap_or(0);
    let chance = world.chance.of(what).at(workspace as u64);
    chance.at(day.unsigned_abs()).at(revision)
}

/// What a user did on a day; days without use are left out.
pub(super) fn of_user(world: &World, workspace: usize, product: Product, user: usize, day: i64) -> Option<Value> {
    let chance = chance(world, workspace, product.tag(), day).at(user as u64);
    let person = world.users.get(user)?;
    let weekend = matches!(day.div_euclid(DAY).rem_euclid(7), 2 | 3);
    if chance.of("idle").below(10) < if weekend { 9 } else { 6 } {
        return None;
    }
    let clients = product.clients();
    let used = 1 + chance.of("clients").index(3);
    let first = chance.of("first client").index(clients.len());
    let clients: Vec<Value> = (0..used)
        .map(|number| {
            let mut part = amounts(chance.of("client").at(number as u64), true);
            part["client_id"] = clients[(first + number) % clients.len()].into();
            part
        })
        .collect();
    let mut row = json!({
        "object": product.tag(),
        "start_time": day,
        "end_time": day + DAY,
        "user_id": person.id,
        "actor": {"type": "ACCOUNT_USER", "user_id": person.id, "email": person.email},
        "totals": sum(clients.iter()),
        "clients": clients,
    });
    if chance.of("no email").once_in(15) {
        row["actor"]["email"] = Value::Null;
    }
    match chance.of("models").below(8) {
        0 => row["models"] = Value::Null,
        1 => {}
        _ => row["models"] = models(chance),
    }
    attribute(&mut row, chance.of("attribution"));
    Some(row)
}

fn models(chance: Chance) -> Value {
    let used = 1 + chance.of("how many models").index(3);
    let first = chance.of("first model").index(MODELS.len());
    let models = (0..used).map(|number| {
        let chance = chance.of("model").at(number as u64);
        let mut part = amounts(chance, false);
        part["model"] = MODELS[(first + number) % MODELS.len()].into();
        match chance.of("speed").below(4) {
            0 => part["speed"] = Value::Null,
            1 => part["speed"] = "fast".into(),
            2 => part["speed"] = "standard".into(),
            _ => {}
        }
        part
    });
    models.collect()
}

/// Counts, tokens and the three kinds of money, each of which may be missing on its own.
fn amounts(chance: Chance, counted: bool) -> Value {
    let credits = chance.of("credits").between(0, 90_000);
    let mut part = json!({"credits": hundredths(credits)});
    if counted {
        let turns = chance.of("turns").between(1, 400);
        part["turns"] = turns.into();
        part["threads"] = (1 + turns / 6).into();
    }
    match chance.of("estimate").below(5) {
        0 => part["estimated_cost_usd"] = Value::Null,
        1 => {}
        _ => part["estimated_cost_usd"] = hundredths(credits * 4 / 100),
    }
    match chance.of("cost").below(5) {
        0 => part["cost_usd"] = hundredths(chance.of("billed").between(0, 9_999)),
        1 => part["cost_usd"] = 0.into(),
        2 => {}
        _ => part["cost_usd"] = Value::Null,
    }
    if chance.of("tokens").below(4) > 0 {
        let counts = [0, 1, 2].map(|kind| chance.of("token").at(kind).between(0, 4_000_000));
        for (name, count) in TOKENS.iter().zip(counts) {
            part[*name] = count.into();
        }
        part["text_total_tokens"] = counts.iter().sum::<i64>().into();
    }
    part
}

fn hundredths(number: i64) -> Value {
    match number % 100 {
        0 => (number / 100).into(),
        _ => (number as f64 / 100.0).into(),
    }
}

/// The sums of parts; what no part tells is null.
fn sum<'a>(parts: impl Iterator<Item = &'a Value> + Clone) -> Value {
    let mut total = json!({});
    for name in ["threads", "turns"].into_iter().chain(TOKENS) {
        let told = parts.clone().filter_map(|part| part[name].as_i64());
        total[name] = told.reduce(|sum, count| sum + count).into();
    }
    for name in ["credits", "estimated_cost_usd", "cost_usd"] {
        let told = parts.clone().filter_map(|part| part[name].as_f64());
        let sum = told.reduce(|sum, amount| sum + amount);
        total[name] = sum.map_or(Value::Null, |sum| hundredths((sum * 100.0).round() as i64));
    }
    total
}

/// Attribution of code is nested, flat as it once was, null or not there.
fn attribute(row: &mut Value, chance: Chance) {
    let (added, removed) = (chance.of("added").between(0, 900), chance.of("removed").between(0, 300));
    match chance.of("shape").below(6) {
        0 => row["code_attribution"] = Value::Null,
        1 => {}
        2 => row["code_attribution"] = json!({"lines_added": added, "lines_removed": removed}),
        3 => {
            row["code_attribution"] = json!({
                "lines_of_code": {
                    "added": added, "removed": null, "committed": null, "total_committed_lines": null,
                    "committed_percentage": null,
                },
                "commits": null,
            });
        }
        _ => {
            row["code_attribution"] = json!({
                "lines_of_code": {
                    "added": added, "removed": removed, "committed": added / 2, "total_committed_lines": added,
                    "committed_percentage": 50.25,
                },
                "commits": {
                    "with_codex_contribution": 3, "with_codex_contribution_percentage": 37.5, "total_commits": 8,
                },
            });
        }
    }
}

/// The row of the whole workspace: no user, no actor.
pub(super) fn together(product: Product, day: i64, rows: &[Value]) -> Option<Value> {
    if rows.is_empty() {
        return None;
    }
    let totals = rows.iter().map(|row| &row["totals"]);
    let mut row = json!({
        "object": product.tag(),
        "start_time": day,
        "end_time": day + DAY,
        "user_id": null,
        "actor": null,
        "totals": sum(totals),
        "clients": grouped(rows, "clients", "client_id"),
        "models": grouped(rows, "models", "model"),
        "code_attribution": null,
    });
    if rows.len().is_multiple_of(2)
        && let Some(members) = row.as_object_mut()
    {
        members.remove("actor");
        members.remove("user_id");
    }
    Some(row)
}

fn grouped(rows: &[Value], list: &str, name: &str) -> Value {
    let parts = || rows.iter().filter_map(|row| row[list].as_array()).flatten();
    let mut names: Vec<&Value> = Vec::new();
    for part in parts() {
        if !names.contains(&&part[name]) {
            names.push(&part[name]);
        }
    }
    let groups = names.into_iter().map(|one| {
        let mut group = sum(parts().filter(|part| &part[name] == one));
        if list == "models"
            && let Some(members) = group.as_object_mut()
        {
            members.remove("threads");
            members.remove("turns");
        }
        group[name] = one.clone();
        group
    });
    groups.collect()
}

/// Reviews of pull requests on a day; some days have none.
pub(super) fn reviews(world: &World, workspace: usize, day: i64) -> Option<Value> {
    let chance = chance(world, workspace, "code reviews", day);
    if chance.of("none").once_in(6) {
        return None;
    }
    let count = |name: &str, most| chance.of(name).between(0, most);
    let (p0, p1, p2) = (count("p0", 5), count("p1", 30), count("p2", 60));
    Some(json!({
        "object": "workspace.codex.usage.code_reviews.result",
        "start_time": day,
        "end_time": day + DAY,
        "pull_request_reviews": count("reviews", 40),
        "comments": p0 + p1 + p2,
        "comment_details": {"p0": p0, "p1": p1, "p2": p2},
    }))
}

/// How people answered to the comments of reviews.
pub(super) fn responses(world: &World, workspace: usize, day: i64) -> Option<Value> {
    let chance = chance(world, workspace, "code review responses", day);
    if chance.of("none").once_in(6) {
        return None;
    }
    let count = |name: &str, most| chance.of(name).between(0, most);
    Some(json!({
        "object": "workspace.codex.usage.code_review_responses.result",
        "start_time": day,
        "end_time": day + DAY,
        "pull_request_reviews": count("reviews", 40),
        "comments": count("comments", 120),
        "replies": count("replies", 30),
        "reactions": count("reactions", 70),
        "comment_response_details": {
            "engaged": count("engaged", 30), "reacted": count("reacted", 50), "upvoted": count("upvoted", 40),
            "downvoted": count("downvoted", 6), "reacted_other": count("other", 10), "replied": count("replied", 20),
        },
        "reaction_details": {
            "upvotes": count("upvotes", 50), "downvotes": count("downvotes", 8), "other": count("rest", 12),
        },
    }))
}
