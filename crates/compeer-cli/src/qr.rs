//! A text as a QR code for a terminal, two squares of it in each character.
//!
//! Terminals are mostly light on dark, so the light squares are what is drawn; where colours are allowed they are set,
//! and the code is right whatever the terminal's own are. It is as small as it can be, since it must fit the window: with
//! the least error correction, which a screen hardly needs, and where there is little room with half the border.

use crate::console::{self, Console};
use qrcode::{Color, EcLevel, QrCode};

/// Light squares around the code: as the standard has it, and as readers still take it.
const BORDERS: [usize; 2] = [4, 2];

/// Shows a ticket as a QR code on standard error; nothing under `--json`.
pub(crate) fn show(console: &Console, ticket: &str) {
    if console.json() {
        return;
    }
    // In capitals it takes fewer squares; case means nothing in a ticket.
    let Ok(code) = QrCode::with_error_correction_level(ticket.to_ascii_uppercase(), EcLevel::L) else {
        return console.note("the ticket is too long for a QR code");
    };
    let window = console::window(std::io::stderr());
    // A row is left for what is typed next.
    let fits = |border: usize| {
        window.is_none_or(|(columns, rows)| width(&code, border) <= columns && height(&code, border) < rows)
    };
    match BORDERS.into_iter().find(|border| fits(*border)) {
        Some(border) => console.picture(&draw(&code, border)),
        None => console.note(&format!(
            "the QR code needs a window of {} columns and {} rows; take the ticket as text:",
            width(&code, BORDERS[1]),
            height(&code, BORDERS[1]) + 1
        )),
    }
}

fn width(code: &QrCode, border: usize) -> usize {
    code.width() + 2 * border
}

fn height(code: &QrCode, border: usize) -> usize {
    width(code, border).div_ceil(2)
}

/// The lines of the code.
fn draw(code: &QrCode, border: usize) -> Vec<String> {
    let light = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(border).filter(|at| *at < code.width());
        inside(x).zip(inside(y)).is_none_or(|(x, y)| code[(x, y)] == Color::Light)
    };
    let square = |x: usize, row: usize| match (light(x, 2 * row), light(x, 2 * row + 1)) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    };
    (0..height(code, border)).map(|row| (0..width(code, border)).map(|x| square(x, row)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_square_and_light_around() {
        let code = QrCode::new("compeer get 7-lamp-tiger").unwrap();
        for border in BORDERS {
            let lines = draw(&code, border);
            let width = lines[0].chars().count();
            assert!(lines.iter().all(|line| line.chars().count() == width));
            assert_eq!(lines.len(), width.div_ceil(2));
            assert!(lines[0].chars().all(|c| c == '█'), "{}", lines[0]);
            // The corner of a finder pattern is dark, and the square inside it light.
            let corner = lines[border / 2].chars().nth(border).unwrap();
            assert_eq!(corner, ' ', "{}", lines[border / 2]);
        }
    }

    #[test]
    fn a_ticket_fits_a_usual_window() {
        let ticket = "SHARE".to_string() + &"A7".repeat(82);
        let code = QrCode::with_error_correction_level(ticket, EcLevel::L).unwrap();
        assert!(height(&code, BORDERS[1]) < 24, "{}", height(&code, BORDERS[1]));
    }
}
