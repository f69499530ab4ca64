//! Breaking lines for people between words, where a terminal would break them within one.
//!
//! What follows a break stands beneath the text, not beneath a column before it. A command to be typed, which stands behind
//! two spaces, is kept in one piece: it is to be copied. What goes to a file or a pipe is not broken.

/// Columns in which the text may begin: those of a table stand before it.
const TABLE: usize = 24;

/// The text with no row longer than so many columns, as far as its words allow that.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    text.split('\n').map(|line| wrapped_line(line, columns)).collect::<Vec<_>>().join("\n")
}

fn wrapped_line(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_string();
    }
    let (words, command) = match line.rfind("  compeer ") {
        Some(at) if !line[..at].trim().is_empty() => (&line[..at], Some(&line[at + 1..])),
        _ => (line, None),
    };
    let hang = hang(words).min(columns / 2);
    let (mut rows, mut width, mut begun) = (String::new(), 0, false);
    for (place, word) in words.split(' ').chain(command).enumerate() {
        let len = word.chars().count();
        if width + 1 + len > columns && begun {
            let word = word.trim_start();
            rows.push('\n');
            rows.push_str(&" ".repeat(hang));
            rows.push_str(word);
            width = hang + word.chars().count();
        } else {
            if place > 0 {
                rows.push(' ');
                width += 1;
            }
            rows.push_str(word);
            width += len;
        }
        // An indent alone is no row.
        begun = begun || !word.is_empty();
    }
    rows
}

/// Where the text of a line begins: behind its table, or its indent and a little.
fn hang(line: &str) -> usize {
    let head: String = line.chars().take(TABLE).collect();
    let table = head.rfind("  ").map(|at| at + 2).filter(|at| !head[..at - 2].trim().is_empty());
    table.unwrap_or_else(|| line.len() - line.trim_start().len() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_between_words_and_beneath_the_text() {
        assert_eq!(wrapped("short", 5), "short");
        assert_eq!(wrapped("* one two three\nfour", 10), "* one two\n  three\nfour");
        assert_eq!(wrapped("ok  near  one two three four", 20), "ok  near  one two\n          three four");
        assert_eq!(wrapped("to take it, type:  compeer get bob", 20), "to take it, type:\n  compeer get bob");
        assert_eq!(
            wrapped("a compeer-long-word-that-is-too-long", 8),
            "a\n  compeer-long-word-that-is-too-long"
        );
        assert_eq!(wrapped("안녕 안녕 안녕", 5), "안녕 안녕\n  안녕");
    }
}
