//! Plots as SVG, from what a run gave: lines and points on two axes, and nothing else.
//!
//! Written by hand, because this is all there is to it; the file is text that does not change unless the
//! figures do. Colours suit light and dark pages.

use std::fmt::Write;

use crate::Scenario;
use crate::overlay::Summary;

// Size of the picture, and the edge around what is plotted. Unit: pixels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const EDGE: f64 = 56.0;

/// One axis: what it says, and from where to where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    /// What is counted along it, with its unit.
    pub name: &'a str,
    /// Where it begins.
    pub from: f64,
    /// Where it ends; more than where it begins.
    pub to: f64,
}

/// Draws lines through points, each line with its name.
///
/// ```
/// use compeer_sim::plot::{Axis, lines};
///
/// let x = Axis { name: "log₂ of the number of peers", from: 6.0, to: 17.0 };
/// let y = Axis { name: "hops", from: 0.0, to: 5.0 };
/// let svg = lines("Hops", x, y, &[("mean", vec![(6.6, 1.0), (9.9, 1.5)])]);
/// assert!(svg.starts_with("<svg") && svg.contains("polyline"));
/// ```
pub fn lines(title: &str, x: Axis<'_>, y: Axis<'_>, series: &[(&str, Vec<(f64, f64)>)]) -> String {
    let across = |value: f64| EDGE + (value - x.from) / (x.to - x.from) * (WIDTH - 2.0 * EDGE);
    let up = |value: f64| HEIGHT - EDGE - (value - y.from) / (y.to - y.from) * (HEIGHT - 2.0 * EDGE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"#888\">\n"
    );
    let text = |svg: &mut String, at: (f64, f64), anchor: &str, words: &str| {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        // Writing to a string cannot fail; the same below.
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{words}</text>",
            at.0, at.1
        );
    };
    text(&mut svg, (WIDTH / 2.0, 24.0), "middle", title);
    text(&mut svg, (WIDTH / 2.0, HEIGHT - 12.0), "middle", x.name);
    text(&mut svg, (EDGE, EDGE - 12.0), "middle", y.name);
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let (at_x, at_y) = (x.from + share * (x.to - x.from), y.from + share * (y.to - y.from));
        let (left, right, height) = (EDGE, WIDTH - EDGE, up(at_y));
        let _ = writeln!(
            svg,
            "<path d=\"M{left:.1} {height:.1}H{right:.1}\" stroke=\"#888\" stroke-opacity=\"0.3\"/>"
        );
        text(&mut svg, (across(at_x), HEIGHT - EDGE + 18.0), "middle", &number(at_x));
        text(&mut svg, (EDGE - 6.0, height + 4.0), "end", &number(at_y));
    }
    for ((name, points), (colour, line)) in
        series.iter().zip(["#0a7", "#d60", "#36c", "#a3a"].into_iter().cycle().zip(0..))
    {
        let placed: Vec<String> =
            points.iter().map(|(a, b)| format!("{:.1},{:.1}", across(*a), up(*b))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            placed.join(" ")
        );
        let height = EDGE + 14.0 + 16.0 * f64::from(line);
        let _ = writeln!(svg, "<g fill=\"{colour}\">");
        text(&mut svg, (WIDTH - EDGE - 8.0, height), "end", name);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// The share of look-ups that found, over the time of a run.
pub fn found_over_time(scenario: &Scenario, summary: &Summary) -> String {
    let parts = summary.parts.iter().filter(|part| part.lookups > 0);
    let points: Vec<(f64, f64)> = parts
        .map(|part| (f64::from(part.from), 100.0 * f64::from(part.found) / f64::from(part.lookups)))
        .collect();
    let least = points.iter().map(|(_, share)| *share).fold(100.0, f64::min);
    let from = if least >= 99.0 { 99.0 } else { (least / 10.0).floor() * 10.0 };
    let title = format!("{} peers, seed {}: look-ups that found", summary.peers, summary.seed);
    let x = Axis { name: "seconds", from: 0.0, to: f64::from(scenario.duration.max(1)) };
    lines(&title, x, Axis { name: "%", from, to: 100.0 }, &[("found", points)])
}

/// As short as it is exact enough for an axis.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
