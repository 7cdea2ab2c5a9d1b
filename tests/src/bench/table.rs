//! Tables for the terminal.

use std::io::Write;
use std::time::Duration;

/// Prints a table: a title, column heads, rows.
pub fn print(title: &str, heads: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heads.get(column).map(|head| head.chars().count())).max().unwrap_or_default()
    };
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().enumerate().map(|(at, cell)| format!("{cell:<0$}", width(at))).collect();
        format!("| {} |", padded.join(" | "))
    };
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{title}\n{}", line(heads.to_vec()));
    let dashes: Vec<String> = (0..heads.len()).map(|at| "-".repeat(width(at))).collect();
    let _ = writeln!(out, "{}", line(dashes.iter().map(String::as_str).collect()));
    for row in rows {
        let _ = writeln!(out, "{}", line(row.iter().map(String::as_str).collect()));
    }
}

/// Milliseconds with two digits.
pub fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// A ratio with two digits.
pub fn ratio(part: f64, whole: f64) -> String {
    format!("{:.2}", part / whole)
}

/// A quantile of latencies, which get sorted.
pub fn quantile(latencies: &mut [Duration], quantile: f64) -> Duration {
    latencies.sort_unstable();
    let last = latencies.len().saturating_sub(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = (last as f64 * quantile).round() as usize;
    latencies.get(at).copied().unwrap_or_default()
}

/// The middle one of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
