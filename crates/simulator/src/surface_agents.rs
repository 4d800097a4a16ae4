//! Agents of a project: sessions and all below them, environments, automations, vaults.
//!
//! An item of a session is listed by session and again by turn, as the API does.

use super::collection::Collection;
use super::route::{Answer, Key, Route, Style};
use super::surface::list;

const AGENTS: &str = "agents=v1";

pub(super) const ROUTES: &[Route] = &[
    Route {
        table: "agents",
        path: "/agents",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agents.json"), "agent_", [9, 1])
        }),
    },
    Route {
        table: "agent_automations",
        path: "/agents/automations",
        key: Key::Project,
        params: &["session_id"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_automations.json"), "auto_", [21, 1])
        }),
    },
    Route {
        table: "agent_automation_invocations",
        path: "/agents/automations/{agent_automations.id}/invocations",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_automation_invocations.json"), "ainv_", [21, 1])
        }),
    },
    Route {
        table: "agent_environments",
        path: "/agents/environments",
        key: Key::Project,
        params: &["type"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_environments.json"), "env_", [7, 1])
        }),
    },
    Route {
        table: "agent_environment_files",
        path: "/agents/environments/{agent_environments.id}/files",
        key: Key::Project,
        params: &["path"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::Page,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_environment_files.json"), "envfile_", [21, 2])
        }),
    },
    Route {
        table: "agent_environment_templates",
        path: "/agents/environments/templates",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_environment_templates.json"), "envt_", [5, 1])
        }),
    },
    Route {
        table: "agent_sessions",
        path: "/agents/sessions",
        key: Key::Project,
        params: &["agent_id"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_sessions.json"), "sess_", [8, 1])
        }),
    },
    Route {
        table: "agent_session_artifacts",
        path: "/agents/sessions/{agent_sessions.id}/artifacts",
        key: Key::Project,
        params: &["environment_id"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_session_artifacts.json"), "artifact_", [21, 1])
        }),
    },
    Route {
        table: "agent_session_items",
        path: "/agents/sessions/{agent_sessions.id}/items",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_session_items.json"), "item_", [76, 2])
        }),
    },
    Route {
        table: "agent_session_traces",
        path: "/agents/sessions/{agent_sessions.id}/traces",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_session_traces.json"), "turn_", [3, 1])
        }),
    },
    Route {
        table: "agent_session_turns",
        path: "/agents/sessions/{agent_sessions.id}/turns",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_session_turns.json"), "turn_", [26, 1])
        }),
    },
    Route {
        table: "agent_session_turn_items",
        path: "/agents/sessions/{agent_sessions.id}/turns/{agent_session_turns.id}/items",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastId,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_session_items.json"), "item_", [76, 1])
        }),
    },
    Route {
        table: "agent_session_subagents",
        path: "/agents/sessions/{agent_sessions.id}/subagents",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_session_subagents.json"), "subagent_", [3, 1])
        }),
    },
    Route {
        table: "agent_session_subagent_items",
        path: "/agents/sessions/{agent_sessions.id}/subagents/{agent_session_subagents.id}/items",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_session_items.json"), "item_", [76, 1])
        }),
    },
    Route {
        table: "agent_session_subagent_turns",
        path: "/agents/sessions/{agent_sessions.id}/subagents/{agent_session_subagents.id}/turns",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_session_turns.json"), "turn_", [26, 1])
        }),
    },
    Route {
        table: "agent_session_subagent_turn_items",
        path: "/agents/sessions/{agent_sessions.id}/subagents/{agent_session_subagents.id}/turns/{agent_session_subagent_turns.id}/items",
        key: Key::Project,
        params: &[],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/agent_session_items.json"), "item_", [76, 1])
        }),
    },
    Route {
        table: "vaults",
        path: "/vaults",
        key: Key::Project,
        params: &["status"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/vaults.json"), "vault_", [4, 1])
        }),
    },
    Route {
        table: "vault_credentials",
        path: "/vaults/{vaults.id}/credentials",
        key: Key::Project,
        params: &["status"],
        fullest: "",
        answer: Answer::Collection(Collection {
            style: Style::LastItem,
            beta: Some(AGENTS),
            ..list(include_str!("samples/vault_credentials.json"), "vcred_", [9, 1])
        }),
    },
];
