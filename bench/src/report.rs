//! What is printed: the machine, then a line for each figure, with its ratio to
//! the baseline of the same run; at the end the ratios to rivals, and each bar
//! with whether it was met.

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

    /// Forgets the warm-up.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
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
    /// For the end.
    verdicts: Vec<Verdict>,
}

/// A ratio, or a figure that has a bar of its own.
struct Verdict {
    what: String,
    value: String,
    bar: String,
    met: Option<bool>,
}

impl Bar {
    /// As text, and whether it was met.
    fn judge(self, value: f64, ratio: f64) -> (String, Option<bool>) {
        match self {
            Bar::None => (String::new(), None),
            Bar::RatioAtLeast(bar) => (format!("≥ {bar} ×"), Some(ratio >= bar)),
            Bar::RatioAtMost(bar) => (format!("≤ {bar} ×"), Some(ratio <= bar)),
            Bar::AtLeast(bar) => (format!("≥ {bar}"), Some(value >= bar)),
            Bar::AtMost(bar) => (format!("≤ {bar}"), Some(value <= bar)),
        }
    }
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
        Report { json, verdicts: Vec::new() }
    }

    /// A figure that others are compared with, or that stands alone.
    pub(crate) fn line(&mut self, series: &Series, bar: Bar) {
        self.print(series, None, bar);
    }

    /// A figure beside its baseline, measured in the same rounds.
    pub(crate) fn beside(&mut self, series: &Series, baseline: &Series, bar: Bar) {
        self.print(series, Some((ratio(series, baseline), short(baseline))), bar);
    }

    /// The ratio to something else of the same rounds, for the end.
    pub(crate) fn against(&mut self, series: &Series, rival: &Series, bar: Bar) {
        let ratio = ratio(series, rival);
        let (bar, met) = bar.judge(f64::NAN, ratio);
        if self.json {
            let line = json!({
                "what": series.name, "beside": short(rival), "ratio": ratio, "bar": bar, "met": met,
            });
            println!("{line}");
        }
        let what = format!("{}, beside {}", series.name, short(rival));
        self.verdicts.push(Verdict { what, value: format!("{ratio:.2} ×"), bar, met });
    }

    fn print(&mut self, series: &Series, beside: Option<(f64, &str)>, bar: Bar) {
        let Series { name, unit, values } = series;
        let value = median(values.clone());
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ratio = beside.map(|(ratio, _)| ratio);
        let of_ratio = matches!(bar, Bar::RatioAtLeast(_) | Bar::RatioAtMost(_));
        let (bar, met) = bar.judge(value, ratio.unwrap_or(f64::NAN));
        if self.json {
            let line = json!({
                "what": name, "median": value, "least": least, "most": most, "unit": unit, "rounds": values,
                "ratio": ratio, "bar": bar, "met": met,
            });
            println!("{line}");
        } else {
            let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
            let missed = if met == Some(false) { "  missed" } else { "" };
            let [value, least, most] = [value, least, most].map(number);
            println!("{name:<56} {value:>11} {least:>11} {most:>11} {unit:<6} {bar:<10} {ratio:>6}{missed}");
        }
        if met.is_some() {
            let (what, value) = match beside {
                Some((ratio, base)) if of_ratio => {
                    (format!("{name}, beside {base}"), format!("{ratio:.2} ×"))
                }
                _ => (name.clone(), format!("{} {unit}", number(value))),
            };
            self.verdicts.push(Verdict { what, value, bar, met });
        }
    }

    /// Ratios and bars, last.
    pub(crate) fn end(self) {
        let judged = self.verdicts.iter().filter_map(|verdict| verdict.met);
        let (met, all) = (judged.clone().filter(|met| *met).count(), judged.count());
        if self.json {
            let missed = self.verdicts.iter().filter(|verdict| verdict.met == Some(false));
            let missed: Vec<_> = missed.map(|verdict| &verdict.what).collect();
            println!("{}", json!({ "bars": all, "met": met, "missed": missed }));
            return;
        }
        println!();
        for Verdict { what, value, bar, met } in &self.verdicts {
            let met = match met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "",
            };
            println!("{:<92} {bar:<10} {met}", format!("{what:<78} {value:>13}"));
        }
        println!("{met} of {all} bars met");
    }
}

/// The median of the ratios of the rounds, which swing together.
fn ratio(series: &Series, baseline: &Series) -> f64 {
    median(series.values.iter().zip(&baseline.values).map(|(value, base)| value / base).collect())
}

/// Who it is, without what was measured.
fn short(series: &Series) -> &str {
    series.name.rsplit(": ").next().unwrap_or(&series.name)
}

fn number(value: f64) -> String {
    format!("{value:.*}", if value < 1000.0 { 1 } else { 0 })
}
