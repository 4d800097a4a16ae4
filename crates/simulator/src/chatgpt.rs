//! The ChatGPT workspaces as the compliance API tells them: users, GPTs, projects, agents,
//! skills, plugins, tasks and environments of Codex.
//!
//! Each list pages in its own way, as documented; what belongs to one user is in `chatgpt_people`.

use super::collection::Collection;
use super::route::{Answer, Key, Limit, Order, Route, Style, limit};
use super::world::World;

/// A page whose size cannot be chosen.
const FIXED: Limit = limit(10, 10, 10);
/// A workspace shows at most so many people.
const MOST_MEMBERS: usize = 500;

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "chatgpt_users",
        path: "/compliance/workspaces/{key.workspace}/users",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 200, 1000),
            ..listed(include_str!("samples/chatgpt_users.json"), "members", [1, 1])
        }),
    },
    Route {
        table: "chatgpt_gpts",
        path: "/compliance/workspaces/{key.workspace}/gpts",
        key: Key::Compliance,
        params: &["file_format"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::ShortPages,
            ..listed(include_str!("samples/chatgpt_gpts.json"), "g-", [24, 3])
        }),
    },
    Route {
        table: "chatgpt_gpt_configs",
        path: "/compliance/workspaces/{key.workspace}/gpts/{chatgpt_gpts.id}/configs",
        key: Key::Compliance,
        params: &["file_format"],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::NewestFirst,
            ..listed(include_str!("samples/chatgpt_gpt_configs.json"), "gzm_cnf_", [23, 2])
        }),
    },
    Route {
        table: "chatgpt_gpt_shared_users",
        path: "/compliance/workspaces/{key.workspace}/gpts/{chatgpt_gpts.id}/shared_users",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: FIXED,
            ..listed(include_str!("samples/chatgpt_gpt_shared_users.json"), "members", [2, 4])
        }),
    },
    Route {
        table: "chatgpt_projects",
        path: "/compliance/workspaces/{key.workspace}/projects",
        key: Key::Compliance,
        params: &["file_format"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::ShortPages,
            ..listed(include_str!("samples/chatgpt_projects.json"), "g-p-", [24, 3])
        }),
    },
    Route {
        table: "chatgpt_project_configs",
        path: "/compliance/workspaces/{key.workspace}/projects/{chatgpt_projects.id}/configs",
        key: Key::Compliance,
        params: &["file_format"],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::NewestFirst,
            ..listed(include_str!("samples/chatgpt_project_configs.json"), "pr_cnf_", [23, 2])
        }),
    },
    Route {
        table: "chatgpt_project_shared_users",
        path: "/compliance/workspaces/{key.workspace}/projects/{chatgpt_projects.id}/shared_users",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: FIXED,
            ..listed(include_str!("samples/chatgpt_gpt_shared_users.json"), "members", [2, 4])
        }),
    },
    Route {
        table: "chatgpt_agents",
        path: "/compliance/workspaces/{key.workspace}/agents",
        key: Key::Compliance,
        params: &["owner_id"],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 20, 50),
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_agents.json"), "agt_", [53, 3])
        }),
    },
    Route {
        table: "chatgpt_agent_definitions",
        path: "/compliance/workspaces/{key.workspace}/agents/{chatgpt_agents.id}",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::Single,
            ..listed(include_str!("samples/chatgpt_agent_definitions.json"), "parent", [4, 4])
        }),
    },
    Route {
        table: "chatgpt_skills",
        path: "/compliance/workspaces/{key.workspace}/skills",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            order: Order::NewestFirst,
            style: Style::Cursor,
            posted: true,
            ..listed(include_str!("samples/chatgpt_skills.json"), "skill_", [103, 2])
        }),
    },
    Route {
        table: "chatgpt_agent_skills",
        path: "/compliance/workspaces/{key.workspace}/agent-skills",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::Cursor,
            posted: true,
            ..listed(include_str!("samples/chatgpt_skills.json"), "skill_", [4, 1])
        }),
    },
    Route {
        table: "chatgpt_plugins",
        path: "/compliance/workspaces/{key.workspace}/plugins",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 50, 100),
            style: Style::Cursor,
            ..listed(include_str!("samples/chatgpt_plugins.json"), "plugin_", [4, 2])
        }),
    },
    Route {
        table: "chatgpt_plugin_details",
        path: "/compliance/workspaces/{key.workspace}/plugins/{chatgpt_plugins.id}",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::Single,
            ..listed(include_str!("samples/chatgpt_plugin_details.json"), "parent", [0, 0])
        }),
    },
    Route {
        table: "codex_tasks",
        path: "/compliance/workspaces/{key.workspace}/codex_tasks",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 30, 30),
            order: Order::NewestFirst,
            style: Style::Cursor,
            ..listed(include_str!("samples/codex_tasks.json"), "task_e_", [33, 2])
        }),
    },
    Route {
        table: "codex_environments",
        path: "/compliance/workspaces/{key.workspace}/codex_environments",
        key: Key::Compliance,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 30, 30),
            order: Order::NewestFirst,
            style: Style::LastItem,
            ..listed(include_str!("samples/codex_environments.json"), "uuid", [33, 2])
        }),
    },
    Route {
        table: "chatgpt_memories",
        path: "/compliance/workspaces/{key.workspace}/memories",
        key: Key::Compliance,
        params: &["since_timestamp"],
        fullest: "",
        answer: Answer::Collection(Collection {
            limit: limit(1, 200, 200),
            ..listed(include_str!("samples/chatgpt_memories.json"), "members", [1, 1])
        }),
    },
];

/// A list of a workspace, in the most usual way.
pub(super) const fn listed(samples: &'static str, prefix: &'static str, count: [usize; 2]) -> Collection {
    Collection {
        samples,
        prefix,
        count,
        style: Style::LastId,
        limit: limit(1, 20, 100),
        order: Order::Fixed,
        beta: None,
        posted: false,
    }
}

/// All who were ever in a workspace: all of the organization in the first, some in the other.
pub(super) fn population(world: &World, workspace: usize) -> impl Iterator<Item = usize> + '_ {
    let users = (0..world.users.len()).filter(move |user| workspace == 0 || user % 3 == 0);
    users.take(MOST_MEMBERS)
}

/// The people of a workspace, by their ids.
pub(super) fn members(world: &World, workspace: usize) -> Vec<usize> {
    let mut members: Vec<usize> = population(world, workspace).filter(|&user| world.is_here(user)).collect();
    members.sort_by_key(|&user| world.user_id(user));
    members
}
