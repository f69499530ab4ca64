//! A text as a QR code for a terminal, two squares of it in each character.
//!
//! Terminals are mostly light on dark, so the light squares are what is drawn; where colours are allowed they are set,
//! and the code is right whatever the terminal's own are.

use crate::console::Console;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// Shows a ticket as a QR code on standard error; nothing under `--json`.
pub(crate) fn show(console: &Console, ticket: &str) {
    if console.json() {
        return;
    }
    // In capitals it takes fewer squares; case means nothing in a ticket.
    match draw(&ticket.to_ascii_uppercase()) {
        Some(lines) => console.picture(&lines),
        None => console.note("the ticket is too long for a QR code"),
    }
}

/// The lines of the code; `None` if the text is too long for one.
fn draw(text: &str) -> Option<Vec<String>> {
    let code = QrCode::new(text).ok()?;
    let (light, dark) = (Dense1x2::Dark, Dense1x2::Light);
    let drawn = code.render::<Dense1x2>().dark_color(dark).light_color(light).quiet_zone(true).build();
    Some(drawn.lines().map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_square_and_light_around() {
        let lines = draw("compeer get 7-lamp-tiger").unwrap();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines[0].chars().all(|c| c == '█'), "{}", lines[0]);
        assert_eq!(draw(&"x".repeat(9999)), None);
    }
}
