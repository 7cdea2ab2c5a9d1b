//! Where output goes: data to standard output, everything else to standard error.

use std::io::{IsTerminal, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use crate::cli::Form;
use crate::exit::Failure;

/// Colours, where they can be seen and nobody has declined them (`NO_COLOR`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Something is well.
    Good,
    /// Something needs a look.
    Care,
    /// Something is bad.
    Bad,
    /// Less important.
    Dim,
}

/// How texts are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    /// With escape sequences for colours.
    pub colours: bool,
}

impl Paint {
    /// For standard output as it is.
    pub fn detect() -> Self {
        let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: !declined && std::io::stdout().is_terminal() }
    }

    /// A text in a colour.
    pub fn text(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Good => 32,
            Colour::Care => 33,
            Colour::Bad => 31,
            Colour::Dim => 2,
        };
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Prints data: the answer as JSON, or the text made of it.
pub fn data(form: Form, json: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    match form {
        Form::Json => {
            let pretty = serde_json::to_string_pretty(json).unwrap_or_default();
            line(&pretty)
        }
        Form::Text => line(text().trim_end()),
    }
}

/// Prints a line of data. A reader that has gone is no failure.
pub fn line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Says something that is no data.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A table without borders: columns named in `right` are numbers.
pub fn table(head: &[&str], right: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for (at, name) in head.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 2));
            if right.contains(name) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for next in ["KB", "MB", "GB", "TB", "PB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// A number with thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds for people.
pub fn seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Numbers as ranges: `0-3, 7`.
pub fn ranges(numbers: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(*number) => *end = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let part = |(start, end): &(u32, u32)| if start == end { start.to_string() } else { format!("{start}-{end}") };
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!((size(999).as_str(), size(20_000_000_000).as_str()), ("999 B", "20.0 GB"));
        assert_eq!((count(7).as_str(), count(1_234_567).as_str()), ("7", "1,234,567"));
        assert_eq!((seconds(59).as_str(), seconds(61).as_str()), ("59 s", "1 min 1 s"));
        assert_eq!(seconds(7_380), "2 h 3 min");
        assert_eq!(ranges(&[0, 1, 2, 3, 7, 9, 10]), "0-3, 7, 9-10");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn tables_have_no_borders_and_no_trailing_blanks() {
        let rows = [vec!["a".to_owned(), "10".to_owned()], vec!["node-2".to_owned(), "5".to_owned()]];
        assert_eq!(table(&["node", "copies"], &["copies"], rows), "NODE    COPIES\na           10\nnode-2       5");
    }

    #[test]
    fn colours_are_only_for_terminals() {
        assert_eq!(Paint { colours: false }.text(Colour::Bad, "down"), "down");
        assert_eq!(Paint { colours: true }.text(Colour::Bad, "down"), "\u{1b}[31mdown\u{1b}[0m");
    }
}
