//! Changing one setting and nothing else in the file: comments, order and white space stay as they are.
//!
//! The text is cut where the parser says that the value stands, and read again before it is kept, so a change that would
//! make the file worse is refused. What else is wrong in the file is no hindrance: this is also how it is mended. The new
//! file takes the old one's place at once; a crash leaves one of the two.

use super::{Place, Setting, Settings, Shape, parsed};
use crate::exit::{CommandError, Outcome};
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use toml_edit::{Array, Document, Item, Value};

/// Sets a key. The values are as typed; gives what is wrong elsewhere in the file.
///
/// # Errors
///
/// There is no such key, or the value is none for it; the file is no TOML or cannot be written.
pub(crate) fn set(place: &Place, key: &str, values: &[String]) -> Outcome<Option<CommandError>> {
    let setting = Setting::of(key).map_err(CommandError::usage)?;
    let value = written(setting, values).map_err(CommandError::usage)?;
    let text = place.text()?.unwrap_or_default();
    let document = parsed(&text, &place.path)?;
    let new = match document.get(key).map(|item| item.as_value().and_then(Value::span)) {
        Some(Some(span)) => replaced(&text, span, &value),
        Some(None) => return Err(no_line(place, key)),
        None => {
            // Before the first table, which no good file has: behind it the key would be one of that table.
            let (before, after) = text.split_at(first_table(&text, &document).unwrap_or(text.len()));
            let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
            format!("{before}{gap}{key} = {value}\n{after}")
        }
    };
    keep(place, &new)
}

/// Takes a key out, known or not; whether it was there, and what is wrong elsewhere in the file.
///
/// # Errors
///
/// There neither is nor could be such a key; the file is no TOML or cannot be written.
pub(crate) fn unset(place: &Place, key: &str) -> Outcome<(bool, Option<CommandError>)> {
    let text = place.text()?.unwrap_or_default();
    let document = parsed(&text, &place.path)?;
    let Some((found, item)) = document.get_key_value(key) else {
        // A key that never was is most likely a slip of the fingers.
        Setting::of(key).map_err(CommandError::usage)?;
        return Ok((false, Settings::parse(&text, &place.path).err()));
    };
    let (Some(key_at), Some(value_at)) = (found.span(), item.as_value().and_then(Value::span)) else {
        return Err(no_line(place, key));
    };
    let from = text[..key_at.start].rfind('\n').map_or(0, |end| end + 1);
    let to = text[value_at.end..].find('\n').map_or(text.len(), |end| value_at.end + end + 1);
    Ok((true, keep(place, &replaced(&text, from..to, ""))?))
}

fn no_line(place: &Place, key: &str) -> CommandError {
    CommandError::usage(format!("{key} is a table in {}", place.path.display()))
        .hint("settings are lines KEY = VALUE; take the table out with an editor")
}

/// A value in TOML.
fn written(setting: &Setting, values: &[String]) -> Result<String, String> {
    let one = || match values {
        [value] => Ok(value.as_str()),
        _ => Err(format!("{} takes one value", setting.key)),
    };
    let wrong = |value: &str| format!("{} must be {}, not {value:?}", setting.key, setting.expected());
    let value: Value = match setting.shape {
        Shape::Text(_) => one()?.into(),
        Shape::List(_) => values.iter().map(String::as_str).collect::<Array>().into(),
        Shape::Number => {
            let value = one()?;
            i64::from(value.parse::<u32>().map_err(|_| wrong(value))?).into()
        }
        Shape::Switch => match one()? {
            "true" | "yes" | "on" | "1" => true.into(),
            "false" | "no" | "off" | "0" => false.into(),
            value => return Err(wrong(value)),
        },
        Shape::File | Shape::Directory => {
            let value = one()?;
            // As seen from here; commands run anywhere.
            let path = match value.starts_with("~/") {
                true => value.into(),
                false => std::path::absolute(value).map_err(|error| format!("{value:?}: {error}"))?,
            };
            path.to_str().ok_or_else(|| wrong(value))?.into()
        }
    };
    let item = Item::Value(value);
    setting.read(&item)?;
    Ok(item.to_string().trim().to_string())
}

fn replaced(text: &str, at: Range<usize>, with: &str) -> String {
    format!("{}{with}{}", &text[..at.start], &text[at.end..])
}

/// Where the line of the first table begins.
fn first_table(text: &str, document: &Document<&str>) -> Option<usize> {
    let start = |item: &Item| match item {
        Item::Table(table) => Some(table.span()?.start),
        Item::ArrayOfTables(tables) => Some(tables.get(0)?.span()?.start),
        _ => None,
    };
    let first = document.iter().filter_map(|(_, item)| start(item)).min()?;
    Some(text[..first].rfind('\n').map_or(0, |end| end + 1))
}

/// Writes the new text; gives what is wrong with it.
fn keep(place: &Place, text: &str) -> Outcome<Option<CommandError>> {
    parsed(text, &place.path)?;
    replace(&place.path, text).map_err(|error| {
        CommandError::failed(format!("cannot write the settings {}: {error}", place.path.display()))
    })?;
    Ok(Settings::parse(text, &place.path).err())
}

/// Puts a new file in the place of the old one, with its permissions; through a link, so that the link stays.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Readable by its owner alone, as all that is in a home.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(&path) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
