//! Durations on the command line and on the screen: `500ms`, `5s`, `2m`, `1h`.
//!
//! A bare number is refused: nobody remembers whether it would mean seconds or milliseconds.

use std::time::Duration;

/// Reads `500ms`, `5s`, `2m`, `1h`, with a fraction where wanted (`1.5s`).
///
/// # Errors
///
/// Says what the text should look like.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err(format!("needs a unit: {text}ms, {text}s, {text}m or {text}h")),
        _ => return Err(format!("unknown unit {unit:?}: use ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| "should look like 5s, 500ms, 2m or 1h".to_string())?;
    let duration =
        Duration::try_from_secs_f64(number * unit).map_err(|_| "is negative or too long".to_string())?;
    if duration.is_zero() {
        return Err("must be more than nothing".to_string());
    }
    Ok(duration)
}

/// A duration for people: `0.42 ms`, `12 ms`, `5 s`, `3 min`, `2 h`, `4 days`.
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.is_zero() => "0 s".to_string(),
        0 if duration.as_millis() < 10 => format!("{:.2} ms", duration.as_secs_f64() * 1000.0),
        0 => format!("{} ms", duration.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
    }

    #[test]
    fn refuses_what_is_not_clear() {
        for text in ["5", "", "s", "-1s", "0s", "5 parsecs", "1e400s", "nans", "infs"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn shows_a_length_one_can_read() {
        assert_eq!(show(Duration::ZERO), "0 s");
        assert_eq!(show(Duration::from_micros(420)), "0.42 ms");
        assert_eq!(show(Duration::from_millis(42)), "42 ms");
        assert_eq!(show(Duration::from_secs(61)), "61 s");
        assert_eq!(show(Duration::from_secs(600)), "10 min");
        assert_eq!(show(Duration::from_secs(90_000)), "25 h");
    }
}
