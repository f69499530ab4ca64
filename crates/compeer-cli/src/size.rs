//! Sizes and rates on the screen and on the command line: `12.3 MB`, `112 MB/s`, `--limit 10M`.
//!
//! Decimal units, as disks and lines are sold: 1 MB is 1,000,000 bytes. Three digits are all one reads at a glance.
//! On the command line `Ki`, `Mi` and `Gi` are taken too, with 1024.

/// A number of bytes for people: `0 bytes`, `999 bytes`, `12.3 kB`, `4.00 GB`.
pub(crate) fn show(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_string(),
        0..1000 => format!("{bytes} bytes"),
        _ => short(bytes),
    }
}

/// The same where there is little room: `999 B`, `12.3 kB`.
pub(crate) fn short(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        // What would be rounded up to 1000 belongs to the next unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    match value {
        _ if unit == "B" => format!("{bytes} B"),
        value if value < 9.995 => format!("{value:.2} {unit}"),
        value if value < 99.95 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

/// Bytes per second for people: `112 MB/s`.
pub(crate) fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", short(bytes_per_second))
}

/// How many files, in words: `1 file`, `12 files`.
pub(crate) fn files(count: u64) -> String {
    match count {
        1 => "1 file".to_string(),
        count => format!("{count} files"),
    }
}

/// What a share is, in a few words: `report.pdf (12.3 MB)`, `album (12 files, 1.00 GB)`. The name is ready for the screen.
pub(crate) fn share(name: &str, count: u64, bytes: u64) -> String {
    let (files, size) = (files(count), show(bytes));
    match count {
        1 => format!("{name} ({size})"),
        // Several files at the top have no other name.
        _ if name == files => format!("{name} ({size})"),
        _ => format!("{name} ({files}, {size})"),
    }
}

/// Reads a rate in bytes per second: `500k`, `10M`, `1.5MB/s`, `2MiB`.
///
/// # Errors
///
/// Says what the text should look like.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let bare = text.strip_suffix("/s").unwrap_or(text);
    let split = bare.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(bare.len());
    let (number, unit) = bare.split_at(split);
    let unit = unit.to_ascii_lowercase();
    let factor = match unit.strip_suffix('b').unwrap_or(&unit) {
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "ki" => 1024.0,
        "mi" => 1024.0 * 1024.0,
        "gi" => 1024.0 * 1024.0 * 1024.0,
        "" if unit == "b" => 1.0,
        "" => return Err(format!("needs a unit: {text}k, {text}M or {text}G, bytes per second")),
        _ => return Err(format!("unknown unit {unit:?}: use k, M or G, bytes per second")),
    };
    let number: f64 = number.parse().map_err(|_| "should look like 500k, 10M or 1.5G".to_string())?;
    let rate = number * factor;
    if number == 0.0 {
        return Err("nothing would ever be sent; for no limit, leave it out".to_string());
    }
    // Not a number fails both.
    if (1.0..=1e15).contains(&rate) {
        Ok(rate as u64)
    } else {
        Err("should be from 1 byte to 1 PB per second".to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        let shown: Vec<_> =
            [0, 1, 999, 1000, 1_234, 12_345, 999_499, 999_500, 1_000_000, 99_950_000].map(show).into();
        let wanted = [
            "0 bytes",
            "1 byte",
            "999 bytes",
            "1.00 kB",
            "1.23 kB",
            "12.3 kB",
            "999 kB",
            "1.00 MB",
            "1.00 MB",
            "100 MB",
        ];
        assert_eq!(shown, wanted);
        assert_eq!(short(u64::MAX), "18.4 EB");
        assert_eq!(rate(512), "512 B/s");
    }

    #[test]
    fn a_share_in_a_few_words() {
        assert_eq!(share("a.pdf", 1, 5), "a.pdf (5 bytes)");
        assert_eq!(share("album", 12, 5000), "album (12 files, 5.00 kB)");
        assert_eq!(share("2 files", 2, 5000), "2 files (5.00 kB)");
    }

    #[test]
    fn reads_rates() {
        assert_eq!(parse_rate("500k"), Ok(500_000));
        assert_eq!(parse_rate("10M"), Ok(10_000_000));
        assert_eq!(parse_rate("1.5MB/s"), Ok(1_500_000));
        assert_eq!(parse_rate("2MiB"), Ok(2 << 20));
        assert_eq!(parse_rate("100b"), Ok(100));
        for text in ["", "10", "M", "-1M", "0k", "5 parsecs", "nanM", "1e99G"] {
            assert!(parse_rate(text).is_err(), "{text:?}");
        }
    }
}
