//! What is printed: the machine, then a line for each figure, with its ratio to
//! the baseline of the same run last.

use std::fs;

use serde_json::json;

use crate::Options;
use crate::stats::median;

/// One thing that was measured, round by round.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
}

impl Series {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str) -> Self {
        Series { name: name.into(), unit, values: Vec::new() }
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.values.push(value);
    }
}

/// What a figure has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    None,
    RatioAtLeast(f64),
    RatioAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
}

pub(crate) struct Report {
    json: bool,
}

impl Report {
    pub(crate) fn begin(options: Options) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("unknown CPU", |(_, model)| model);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("?");
        let ends = if options.two_processes { "two processes" } else { "one process" };
        let Options { rounds, json, .. } = options;
        if json {
            let line = json!({ "cpu": model, "cores": cores, "load": load, "ends": ends, "rounds": rounds });
            println!("{line}");
        } else {
            println!("{model}, {cores} cores, load {load}; {ends}, 127.0.0.1; medians of {rounds} rounds");
            println!();
            let head = ["what", "median", "least", "most", "unit", "bar", "ratio"];
            let [what, median, least, most, unit, bar, ratio] = head;
            println!("{what:<56} {median:>11} {least:>11} {most:>11} {unit:<6} {bar:<10} {ratio:>6}");
        }
        Report { json }
    }

    /// A figure that others are compared with, or that stands alone.
    pub(crate) fn line(&mut self, series: &Series, bar: Bar) {
        self.print(series, None, bar);
    }

    /// A figure beside its baseline, measured in the same rounds.
    pub(crate) fn beside(&mut self, series: &Series, baseline: &Series, bar: Bar) {
        let ratios = series.values.iter().zip(&baseline.values).map(|(value, base)| value / base);
        self.print(series, Some(median(ratios.collect())), bar);
    }

    fn print(&mut self, series: &Series, ratio: Option<f64>, bar: Bar) {
        let Series { name, unit, values } = series;
        let value = median(values.clone());
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let of_ratio = ratio.unwrap_or(f64::NAN);
        let (bar_text, met) = match bar {
            Bar::None => (String::new(), None),
            Bar::RatioAtLeast(bar) => (format!("≥ {bar} ×"), Some(of_ratio >= bar)),
            Bar::RatioAtMost(bar) => (format!("≤ {bar} ×"), Some(of_ratio <= bar)),
            Bar::AtLeast(bar) => (format!("≥ {bar}"), Some(value >= bar)),
            Bar::AtMost(bar) => (format!("≤ {bar}"), Some(value <= bar)),
        };
        if self.json {
            let line = json!({
                "what": name, "median": value, "least": least, "most": most, "unit": unit, "rounds": values,
                "ratio": ratio, "bar": bar_text, "met": met,
            });
            println!("{line}");
            return;
        }
        let number = |value: f64| format!("{value:.*}", if value < 1000.0 { 1 } else { 0 });
        let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let missed = if met == Some(false) { "  missed" } else { "" };
        let (value, least, most) = (number(value), number(least), number(most));
        println!("{name:<56} {value:>11} {least:>11} {most:>11} {unit:<6} {bar_text:<10} {ratio:>6}{missed}");
    }
}
