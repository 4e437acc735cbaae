//! Growth of the number of states with rings, buffers, threads on one ring, and preemptions.
//!
//!     cargo run --release -p ifq-sim --example growth -- docs/growth.svg > growth.csv
//!
//! Each point is a generated test. In each ring a thread receives, waits, returns the buffer and exits. With
//! several threads on one ring, they return what was received before, and one of them exits. Points where a
//! limit ended the search are lower bounds: the table marks them, and the plot draws them hollow.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use ifq_model::revision::{Revision, Variant};
use ifq_sim::format::parse;
use ifq_sim::search::explore::{Limits, explore};
use ifq_sim::symmetry::Symmetries;
use plotters::prelude::*;

/// Time limit of a search.
const MAX_TIME: Duration = Duration::from_secs(20);

/// A line of the plot.
struct Series {
    name: &'static str,
    color: RGBColor,
    /// Size, rings, threads on each ring, buffers.
    tests: &'static [(u32, u32, u32, u32)],
    /// The size is the maximum number of preemptions, too.
    preemptions: bool,
    symmetry: Symmetries,
}

const SERIES: [Series; 5] = [
    Series {
        name: "rings, one thread each, 4 buffers",
        color: RGBColor(0, 90, 160),
        tests: &[(1, 1, 1, 4), (2, 2, 1, 4), (3, 3, 1, 4), (4, 4, 1, 4)],
        preemptions: false,
        symmetry: Symmetries::RINGS,
    },
    Series {
        name: "buffers, 2 rings",
        color: RGBColor(0, 140, 70),
        tests: &[(2, 2, 1, 2), (4, 2, 1, 4), (8, 2, 1, 8), (16, 2, 1, 16)],
        preemptions: false,
        symmetry: Symmetries::RINGS,
    },
    Series {
        name: "buffers, 2 rings, buffer symmetry",
        color: RGBColor(120, 190, 60),
        tests: &[(2, 2, 1, 2), (4, 2, 1, 4), (8, 2, 1, 8), (16, 2, 1, 16)],
        preemptions: false,
        symmetry: Symmetries::BOTH,
    },
    Series {
        name: "threads that return buffers on one ring, 4 buffers",
        color: RGBColor(190, 60, 0),
        tests: &[(2, 1, 2, 4), (3, 1, 3, 4), (4, 1, 4, 4)],
        preemptions: false,
        symmetry: Symmetries::RINGS,
    },
    Series {
        name: "preemptions, 2 rings, 4 buffers",
        color: RGBColor(120, 60, 150),
        tests: &[(1, 2, 1, 4), (2, 2, 1, 4), (4, 2, 1, 4), (8, 2, 1, 4), (16, 2, 1, 4)],
        preemptions: true,
        symmetry: Symmetries::RINGS,
    },
];

/// A point of a line.
struct Point {
    size: u32,
    states: u64,
    exhaustive: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let image = std::env::args().nth(1).ok_or("the name of the image is missing")?;
    println!("series,size,states,seconds,exhaustive");
    let mut lines = Vec::new();
    for series in &SERIES {
        let mut points = Vec::new();
        for (size, rings, threads, buffers) in series.tests {
            let text = text(*rings, *threads, *buffers);
            points.push(measure(series, *size, &text)?);
        }
        lines.push(points);
    }
    draw(Path::new(&image), &lines)
}

fn measure(series: &Series, size: u32, text: &str) -> Result<Point, Box<dyn Error>> {
    let test = parse("growth", text)?;
    let preemptions = series.preemptions.then_some(size);
    let symmetry = series.symmetry;
    let limits = Limits { max_time: Some(MAX_TIME), preemptions, symmetry, ..Limits::default() };
    let found = explore(&test, &Variant::of(Revision::Import73), &limits, &mut |_| {});
    if let Some(broken) = found.counterexample {
        return Err(broken.violation.to_string().into());
    }
    let (states, exhaustive) = (found.states, found.exhaustive);
    println!("\"{}\",{size},{states},{:.3},{exhaustive}", series.name, found.elapsed.as_secs_f64());
    Ok(Point { size, states, exhaustive })
}

/// A test in which all threads receive on one ifq.
fn text(rings: u32, threads: u32, buffers: u32) -> String {
    let sockets = rings * threads;
    let names = |of: &dyn Fn(u32) -> String, n| (0..n).map(of).collect::<Vec<_>>().join(" ");
    let ring_names = names(&|n| format!("R{n}"), rings);
    let socket_names = names(&|n| format!("s{n}"), sockets);
    let entries = buffers.next_power_of_two();
    let mut text = format!(
        "test growth\nabout Generated.\nrevision import-7.3\nring {ring_names}\n\
         socket {socket_names}\nsetup\n\
         i0 = R0: register nodev buffers={buffers} entries={entries}\n"
    );
    if rings > 1 {
        text += "box = R0: export i0\n";
        (1..rings).for_each(|ring| line(&mut text, format_args!("i{ring} = R{ring}: import box")));
        text += "close box\n";
    }
    (0..sockets).for_each(|socket| line(&mut text, format_args!("s{socket}: send 100")));
    if threads > 1 {
        // One thread drives a ring; the others may return what it received.
        for socket in 0..sockets {
            line(&mut text, format_args!("R0: recv i0 s{socket} len=100"));
            line(&mut text, format_args!("c{socket} = R0: wait"));
        }
    }
    for thread in 0..sockets {
        let ring = thread / threads;
        line(&mut text, format_args!("thread t{thread}"));
        if threads == 1 {
            line(&mut text, format_args!("R{ring}: recv i{ring} s{thread} len=100"));
            line(&mut text, format_args!("c{thread} = R{ring}: wait"));
        }
        line(&mut text, format_args!("return c{thread} to i0"));
        if thread % threads == 0 {
            line(&mut text, format_args!("R{ring}: exit"));
        }
    }
    text += "expect holds\n";
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

fn draw(path: &Path, lines: &[Vec<Point>]) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, (720, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let most = lines.iter().flatten().map(|point| point.states).max().unwrap_or(1);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(80)
        .build_cartesian_2d((1_u32..16).log_scale(), (10_u64..most * 4).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("size (hollow: lower bound)")
        .y_desc("unique states")
        .light_line_style(TRANSPARENT)
        .y_label_formatter(&|states| power_of_ten(*states))
        .draw()?;
    for (series, points) in SERIES.iter().zip(lines) {
        let color = series.color;
        chart
            .draw_series(LineSeries::new(points.iter().map(|p| (p.size, p.states)), color))?
            .label(series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
        chart.draw_series(points.iter().map(|point| {
            let style = if point.exhaustive { color.filled() } else { color.stroke_width(2) };
            Circle::new((point.size, point.states), 5, style)
        }))?;
    }
    chart.configure_series_labels().position(SeriesLabelPosition::LowerRight).draw()?;
    area.present()?;
    Ok(())
}

fn power_of_ten(states: u64) -> String {
    match states {
        1_000_000.. => format!("{} M", states / 1_000_000),
        1_000.. => format!("{} k", states / 1_000),
        _ => states.to_string(),
    }
}
