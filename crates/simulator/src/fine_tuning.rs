//! Fine-tuning, as far as the admin key needs it: the permissions of a checkpoint hang
//! on checkpoints, which only a project key can list. The first two projects have jobs.

use std::cell::Cell;

use serde_json::{Value, json};

use super::collection;
use super::identity::counted;
use super::place::Place;
use super::projects::within;
use super::query::Query;
use super::refusal::Refusal;
use super::route::{Answer, Key, Listing, Order, Route, Row, Style, limit};
use super::sample::{self, Blanks};
use super::world::{DAY, ORGANIZATION, World};

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "fine_tuning_checkpoint_permissions",
        path: "/fine_tuning/checkpoints/{fine_tuning_job_checkpoints.fine_tuned_model_checkpoint}/permissions",
        key: Key::Either,
        params: &["project_id"],
        fullest: "",
        answer: Answer::List(Listing {
            rows: permissions,
            record: permission,
            style: Style::LastId,
            limit: limit(1, 10, 100),
            order: Order::DescendingInWords,
        }),
    },
    Route {
        table: "fine_tuning_jobs",
        path: "/fine_tuning/jobs",
        key: Key::Project,
        params: &["metadata"],
        fullest: "",
        answer: Answer::List(Listing {
            rows: |world, place, _| {
                let count = job_count(place.project);
                Ok(counted(count, |at| job_id(world, place.project, at)))
            },
            record: job,
            style: Style::LastItem,
            limit: limit(1, 20, 100),
            order: Order::Fixed,
        }),
    },
    Route {
        table: "fine_tuning_job_checkpoints",
        path: "/fine_tuning/jobs/{fine_tuning_jobs.id}/checkpoints",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::List(Listing {
            rows: checkpoints,
            record: checkpoint,
            style: Style::LastId,
            limit: limit(1, 10, 100),
            order: Order::Fixed,
        }),
    },
];

const BASE_MODEL: &str = "gpt-4.1-mini-2025-04-14";
const CHECKPOINTS: usize = 2;

/// The projects that have fine-tuning jobs.
const TUNING_PROJECTS: [usize; 2] = [0, 1];

fn job_count(project: usize) -> usize {
    match project {
        0 => 19,
        1 => 2,
        _ => 0,
    }
}

fn job_id(world: &World, project: usize, job: usize) -> String {
    within(world, project, "job").at(job as u64).id("ftjob-", 24)
}

pub(super) fn job_ids(world: &World, project: usize) -> Vec<String> {
    let jobs = 0..job_count(project);
    jobs.map(|job| job_id(world, project, job)).collect()
}

pub(super) fn job_number(world: &World, project: usize, id: &str) -> Option<usize> {
    (0..job_count(project)).find(|&job| job_id(world, project, job) == id)
}

fn job(world: &World, place: &Place, at: usize) -> Value {
    let created_at = world.today - (9 + at as i64) * DAY;
    let status = ["succeeded", "succeeded", "running", "failed", "queued"][at % 5];
    let done = status == "succeeded";
    json!({
        "object": "fine_tuning.job",
        "id": job_id(world, place.project, at),
        "created_at": created_at,
        "error": (status == "failed").then(|| json!({
            "code": "invalid_training_file", "message": "Line 7 is not valid JSON.",
            "param": "training_file",
        })),
        "fine_tuned_model": done.then(|| format!("ft:{BASE_MODEL}:simulated::p{}j{at}", place.project)),
        "finished_at": done.then_some(created_at + 7_200),
        "estimated_finish": (status == "running").then_some(created_at + 10 * DAY),
        "hyperparameters": {"batch_size": 4, "learning_rate_multiplier": 2.0, "n_epochs": "auto"},
        "model": BASE_MODEL,
        "organization_id": ORGANIZATION,
        "result_files": if done { json!(["file-simulatedresult"]) } else { json!([]) },
        "status": status,
        "trained_tokens": done.then_some(123_456),
        "training_file": "file-simulatedtraining",
        "validation_file": at.is_multiple_of(2).then_some("file-simulatedvalidation"),
        "integrations": (at == 0).then(|| json!([
            {"type": "wandb", "wandb": {"project": "simulated", "name": null, "entity": null, "tags": []}},
            {"type": "wandb", "wandb": {"project": "simulated", "name": "Run 1", "entity": "search", "tags": ["eu"]}},
        ])),
        "seed": 42 + at,
        "method": method(world, place, at),
        "metadata": (at != 1).then(|| json!({"team": "search"})),
    })
}

/// Every method, and every kind of grader, comes once.
fn method(world: &World, place: &Place, at: usize) -> Value {
    let variants = collection::parsed(include_str!("samples/fine_tuning_methods.json"));
    let chance = within(world, place.project, "method").at(at as u64);
    let blanks = Blanks { world, place, chance, id: "", number: at, moment: world.today, filled: Cell::new(0) };
    let template = variants.get(at % variants.len().max(1));
    template.map_or(Value::Null, |template| sample::fill(template, &blanks))
}

/// The name of the model at a checkpoint: this, not its id, is the parent of the permissions.
fn checkpoint_model(project: usize, job: usize, checkpoint: usize) -> String {
    let step = (checkpoint + 1) * 100;
    format!("ft:{BASE_MODEL}:simulated::p{project}j{job}:ckpt-step-{step}")
}

pub(super) fn all_checkpoints(world: &World) -> Vec<String> {
    every_checkpoint(world).map(|(project, job, checkpoint)| checkpoint_model(project, job, checkpoint)).collect()
}

pub(super) fn find_checkpoint(world: &World, model: &str) -> Option<(usize, usize, usize)> {
    every_checkpoint(world).find(|&(project, job, checkpoint)| checkpoint_model(project, job, checkpoint) == model)
}

fn every_checkpoint(world: &World) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
    let projects = TUNING_PROJECTS.into_iter();
    projects
        .filter(|&project| world.is_active(project))
        .flat_map(|project| (0..job_count(project)).map(move |job| (project, job)))
        .flat_map(|(project, job)| (0..checkpoint_count(job)).map(move |checkpoint| (project, job, checkpoint)))
}

/// Only jobs that succeeded have checkpoints.
fn checkpoint_count(job: usize) -> usize {
    if job < 2 { CHECKPOINTS } else { 0 }
}

fn checkpoint_id(world: &World, place: &Place, at: usize) -> String {
    within(world, place.project, "checkpoint").at(place.job as u64).at(at as u64).id("ftckpt_", 24)
}

fn checkpoints(world: &World, place: &Place, _: &Query) -> Result<Vec<Row>, Refusal> {
    let count = checkpoint_count(place.job);
    Ok(counted(count, |at| checkpoint_id(world, place, at)))
}

fn checkpoint(world: &World, place: &Place, at: usize) -> Value {
    let step = (at + 1) * 100;
    json!({
        "object": "fine_tuning.job.checkpoint",
        "id": checkpoint_id(world, place, at),
        "created_at": world.today - 8 * DAY + 600 * (at as i64 + 1),
        "fine_tuned_model_checkpoint": checkpoint_model(place.project, place.job, at),
        "step_number": step,
        "metrics": {
            "step": step, "train_loss": 0.5, "train_mean_token_accuracy": 0.75,
            "valid_loss": 0.625, "valid_mean_token_accuracy": 0.7,
            "full_valid_loss": 0.65, "full_valid_mean_token_accuracy": 0.6875,
        },
        "fine_tuning_job_id": job_id(world, place.project, place.job),
    })
}

fn permission_id(world: &World, place: &Place, at: usize) -> String {
    within(world, place.project, "permission")
        .at((place.job * CHECKPOINTS + place.checkpoint) as u64)
        .at(at as u64)
        .id("cp_", 24)
}

/// A few projects may use each checkpoint; the first one may be used by more than a page holds.
fn permissions(world: &World, place: &Place, query: &Query) -> Result<Vec<Row>, Refusal> {
    let count = match (place.project, place.job, place.checkpoint) {
        (0, 0, 0) => 25,
        _ => 1 + place.checkpoint,
    };
    let project = query.text("project_id");
    let mut rows = counted(count, |at| permission_id(world, place, at));
    rows.retain(|row| project.is_none_or(|id| id == permitted(world, row.at)));
    Ok(rows)
}

fn permitted(world: &World, at: usize) -> &str {
    world.project_id(at % world.projects.len())
}

fn permission(world: &World, place: &Place, at: usize) -> Value {
    json!({
        "object": "checkpoint.permission",
        "id": permission_id(world, place, at),
        "created_at": world.today - 7 * DAY + 60 * at as i64,
        "project_id": permitted(world, at),
    })
}
