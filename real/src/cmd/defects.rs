//! `ifq defects`: prints the catalogue.

use clap::Args as ClapArgs;
use ifq_model::revision::{Entry, Revision};
use serde::Serialize;

use super::exit::EXIT_OK;

/// Arguments of `ifq defects`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Example:\n  ifq defects --json | jq -r 'select(.on|length>0).id'\n\n\
    The revisions are those that were published with the defect. In the others that have the code \
    that it is in\n(`code_in` with --json) it can be added with --defect.\n\
    An entry marked `no defect` only looks like one: no check may report it.")]
pub struct Args {
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct CatalogueLine {
    id: &'static str,
    defect: bool,
    on: Vec<Revision>,
    code_in: Vec<Revision>,
    about: &'static str,
}

/// Prints the catalogue; returns the exit code.
#[must_use]
pub fn defects(args: &Args) -> u8 {
    let lines: Vec<CatalogueLine> = Entry::all().into_iter().map(line).collect();
    if args.json {
        for line in lines {
            if let Ok(line) = serde_json::to_string(&line) {
                outln!("{line}");
            }
        }
        return EXIT_OK;
    }
    let mut table = crate::output::table();
    table.set_header(["id", "revisions", "description"]);
    for line in lines {
        let names: Vec<&str> = line.on.iter().map(|r| r.name()).collect();
        let on = match names.as_slice() {
            _ if !line.defect => "no defect".to_owned(),
            [] => "-".to_owned(),
            names => names.join(" "),
        };
        table.add_row([line.id, &on, line.about]);
    }
    outln!("{}", table.trim_fmt());
    EXIT_OK
}

fn line(entry: Entry) -> CatalogueLine {
    let on = match entry {
        Entry::Defect(defect) => {
            Revision::ALL.into_iter().filter(|r| r.defects().contains(&defect)).collect()
        }
        Entry::NonDefect(_) => Vec::new(),
    };
    let code_in = match entry {
        Entry::Defect(defect) => defect.revisions(),
        Entry::NonDefect(_) => Vec::new(),
    };
    CatalogueLine {
        id: entry.name(),
        defect: matches!(entry, Entry::Defect(_)),
        on,
        code_in,
        about: entry.about(),
    }
}
