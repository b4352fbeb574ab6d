//! `hallpass routes`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::print;
use crate::access::{QueryKey, Route, Table};
use crate::config::Loaded;

#[derive(Args)]
pub(super) struct Arguments {
    /// Print JSON, with the query keys that each row passes on
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    loaded.print_warnings();
    let table = Table::new(&loaded.config.gateway.access())?;
    if arguments.json {
        print::json(&table.rows().iter().map(describe).collect::<Vec<_>>())?;
    } else {
        let cells = |row: &Route| {
            [row.method.as_str(), &row.template, row.needs.as_str(), &row.also].map(str::to_owned)
        };
        let rows: Vec<_> = table.rows().iter().map(cells).collect();
        print::table(["METHOD", "PATH", "ACCESS", "THE GATEWAY ALSO"], &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(row: &Route) -> Value {
    let query: Vec<_> = row.query.iter().map(QueryKey::to_string).collect();
    json!({
        "method": row.method, "path": row.template, "access": row.needs.as_str(), "query": query, "also": row.also,
    })
}
