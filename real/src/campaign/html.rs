//! The report of a campaign as one HTML file that needs no other.

use std::fmt::Write;

use html_escape::encode_text;

use super::summary::{CauseSummary, Counts, Summary};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;margin:1rem 0}\
th,td{padding:.2rem .8rem;border-bottom:1px solid light-dark(#ccc,#444);text-align:left;vertical-align:top}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
.bad{color:light-dark(#b00020,#ff8a80);font-weight:600}\
.open{color:light-dark(#7a5200,#ffcc66);font-weight:600}\
.good{color:light-dark(#006b2d,#7ddf9b);font-weight:600}\
pre{background:light-dark(#f4f4f4,#222);padding:.8rem;overflow-x:auto}\
details{margin:1rem 0}summary{cursor:pointer}";

/// The report.
#[must_use]
pub fn report(summary: &Summary) -> String {
    let name = encode_text(&summary.name);
    let shard = summary.shard.as_ref().map_or_else(String::new, |shard| format!(", shard {shard}"));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{name}</title>\n\
         <style>{STYLE}</style></head><body>\n<h1>Campaign {name}{shard}</h1>\n"
    );
    let (class, words) = verdict(&summary.total);
    let _ = writeln!(page, "<p class=\"{class}\">{words}</p>");
    jobs(&mut page, summary);
    if !summary.causes.is_empty() {
        page.push_str("<h2>Failures by cause</h2>\n");
        summary.causes.iter().for_each(|cause| add_cause(&mut page, cause));
    }
    reasons(&mut page, summary);
    page.push_str("</body></html>\n");
    page
}

/// The class and the words for all units together.
fn verdict(total: &Counts) -> (&'static str, String) {
    let open = total.bounded + total.not_run + total.panicked;
    if total.failed > 0 {
        ("bad", format!("{} cases failed.", total.failed))
    } else if total.done < total.units {
        ("open", format!("{} of {} units have run.", total.done, total.units))
    } else if open > 0 {
        ("open", format!("No case failed. {open} cases have no verdict."))
    } else {
        ("good", format!("All {} cases passed.", total.passed))
    }
}

fn jobs(page: &mut String, summary: &Summary) {
    page.push_str("<table><tr><th>job</th>");
    for (name, _) in summary.total.cells() {
        let _ = write!(page, "<th class=\"n\">{name}</th>");
    }
    page.push_str("</tr>\n");
    let all = summary.jobs.iter().map(|job| (job.name.as_str(), &job.counts));
    for (name, counts) in all.chain([("all", &summary.total)]) {
        let _ = write!(page, "<tr><td>{}</td>", encode_text(name));
        for (what, number) in counts.cells() {
            let class = match what {
                "failed" if number > 0 => "n bad",
                "bounded" | "not run" | "panicked" if number > 0 => "n open",
                _ => "n",
            };
            let _ = write!(page, "<td class=\"{class}\">{number}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

fn add_cause(page: &mut String, cause: &CauseSummary) {
    let (title, kernels) = (encode_text(&cause.cause), cause.kernels.join(", "));
    let _ = writeln!(
        page,
        "<h3>{title}</h3>\n<p>{} cases, on {}</p>",
        cause.cases,
        encode_text(&kernels)
    );
    page.push_str("<table><tr><th>case</th><th>what</th><th>again</th></tr>\n");
    for case in &cause.first {
        let [name, what, again] = [&case.case, &case.what, &case.again].map(encode_text);
        let _ =
            writeln!(page, "<tr><td>{name}</td><td>{what}</td><td><code>{again}</code></td></tr>");
    }
    page.push_str("</table>\n");
    if let Some(note) = &cause.note {
        let _ = writeln!(page, "<p>{}</p>", encode_text(note));
    }
    if let (Some(file), Some(text)) = (&cause.file, &cause.text) {
        let operations = cause.operations.unwrap_or_default();
        let _ = writeln!(
            page,
            "<details open><summary>failures/{file}, {operations} operations</summary>\
             <pre>{}</pre></details>",
            encode_text(text)
        );
    }
}

fn reasons(page: &mut String, summary: &Summary) {
    if summary.reasons.is_empty() {
        return;
    }
    page.push_str("<h2>Without a verdict</h2>\n<table><tr><th>why</th><th>reason</th>");
    page.push_str("<th class=\"n\">cases</th><th>first</th></tr>\n");
    for reason in &summary.reasons {
        let (why, first) = (encode_text(&reason.reason), encode_text(&reason.first));
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{why}</td><td class=\"n\">{}</td><td>{first}</td></tr>",
            reason.end, reason.cases
        );
    }
    page.push_str("</table>\n");
}
