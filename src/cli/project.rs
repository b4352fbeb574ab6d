//! `hallpass project`

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use super::open::{Purpose, with_app};
use super::print;
use crate::app::App;
use crate::config::Loaded;
use crate::keys::Project;
use crate::token::AgentId;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the projects and the agents that their keys may issue tokens for
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set the agents that a project's keys may issue tokens for
    ///
    /// Without such a list, projects isolate tokens, not agents: any key may issue for any agent.
    Agents {
        /// The project
        name: String,
        /// An agent's id; repeat it for more. The list is replaced
        #[arg(long = "allow", value_name = "AGENT_ID", value_parser = AgentId::parse, required_unless_present = "any")]
        allow: Vec<AgentId>,
        /// Allow any agent again
        #[arg(long, conflicts_with = "allow")]
        any: bool,
    },
}

pub(super) fn run(command: Command, loaded: Loaded) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { json } => list(loaded, json)?,
        Command::Agents { name, allow, any } => with_app(loaded, Purpose::MustExist, async |app| {
            named(app, &name).await?;
            let agents = (!any).then_some(allow.as_slice());
            app.store.set_project_agents(&name, agents).await?;
            let which = if any { "any agent".to_owned() } else { print::count(allow.len() as u64, "agent") };
            Ok(print::line(&format!("keys of project `{name}` may issue tokens for {which}"))?)
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The project of that name; an unknown one is told with those that there are.
pub(super) async fn named(app: &App, name: &str) -> anyhow::Result<Project> {
    let projects = app.store.projects().await?;
    let names: Vec<_> = projects.iter().map(|project| format!("`{}`", project.name)).collect();
    match projects.iter().find(|project| project.name == name) {
        Some(project) => Ok(project.clone()),
        None => bail!("there is no project `{name}`; there are {}", names.join(", ")),
    }
}

fn list(loaded: Loaded, json: bool) -> anyhow::Result<()> {
    let projects = with_app(loaded, Purpose::MustExist, async |app| Ok(app.store.projects().await?))?;
    if json {
        let projects: Vec<_> =
            projects.iter().map(|project| json!({"name": project.name, "agents": project.agents})).collect();
        return print::json(&projects);
    }
    let agents_of = |project: &Project| match &project.agents {
        None => "any".to_owned(),
        Some(agents) => agents.iter().map(AgentId::as_str).collect::<Vec<_>>().join(", "),
    };
    let rows: Vec<_> = projects.iter().map(|project| [project.name.clone(), agents_of(project)]).collect();
    Ok(print::table(["NAME", "AGENTS"], &rows)?)
}
