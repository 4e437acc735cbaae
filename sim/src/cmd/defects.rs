//! `ifq defects`: the catalogue.

use clap::Args as ClapArgs;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use ifq_model::revision::{Entry, Revision};
use serde::Serialize;

use super::EXIT_OK;

/// Arguments of `ifq defects`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Example:\n  ifq defects --json | jq -r 'select(.on|length>0).id'\n\n\
    The revisions are those that were published with the defect; in every other one it can be \
    switched on. What is marked `no defect` must never be reported.")]
pub struct Args {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Line {
    id: &'static str,
    defect: bool,
    on: Vec<Revision>,
    about: &'static str,
}

/// Runs it.
#[must_use]
pub fn defects(args: &Args) -> u8 {
    let lines: Vec<Line> = Entry::all().into_iter().map(line).collect();
    if args.json {
        for line in lines {
            if let Ok(line) = serde_json::to_string(&line) {
                say!("{line}");
            }
        }
        return EXIT_OK;
    }
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["id", "on by default in", "what it is"]);
    for line in lines {
        let names: Vec<&str> = line.on.iter().map(|r| r.name()).collect();
        let on = match names.as_slice() {
            _ if !line.defect => "no defect".to_owned(),
            [] => "-".to_owned(),
            names => names.join(" "),
        };
        table.add_row([line.id, &on, line.about]);
    }
    say!("{}", table.trim_fmt());
    EXIT_OK
}

fn line(entry: Entry) -> Line {
    let on = match entry {
        Entry::Defect(defect) => {
            Revision::ALL.into_iter().filter(|r| r.defects().contains(&defect)).collect()
        }
        Entry::NonDefect(_) => Vec::new(),
    };
    Line { id: entry.name(), defect: matches!(entry, Entry::Defect(_)), on, about: entry.about() }
}
