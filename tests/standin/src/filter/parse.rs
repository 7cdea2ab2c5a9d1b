//! Parser of the filter language.

use serde_json::Value;

use super::{Filter, FilterFault, Test, Word};

const OPERATIONS: &str = "`=`, `!=`, `>=`, `>`, `<=`, `<`, `IN`, `NOT IN`, `TO`, `EXISTS`, `NOT EXISTS`, `IS NULL`, `IS NOT NULL`, `IS EMPTY`, `IS NOT EMPTY`, `CONTAINS`, `NOT CONTAINS`, `STARTS WITH`, `NOT STARTS WITH`, `_geoRadius`, `_geoBoundingBox` or `_geoPolygon`";

/// What a rule of the grammar makes.
pub(super) type Parsed<T> = Result<T, FilterFault>;

/// Parses a filter given as JSON: a text, or a list (all of them) of texts and lists (one of them). None if it is empty.
pub(crate) fn from_json(value: &Value) -> Parsed<Option<Filter>> {
    let wrong = |expected: &str, found: &Value| {
        FilterFault::new(format!("Invalid syntax for the filter parameter: `expected {expected}, found: {found}`."))
    };
    match value {
        Value::Null => Ok(None),
        Value::String(text) => parse(text),
        Value::Array(items) => {
            let mut all = Vec::new();
            for item in items {
                match item {
                    Value::String(text) => all.extend(parse(text)?),
                    Value::Array(choices) => {
                        let mut any = Vec::new();
                        for choice in choices {
                            let text = choice.as_str().ok_or_else(|| wrong("String", choice))?;
                            any.extend(parse(text)?);
                        }
                        if !any.is_empty() {
                            all.push(Filter::Or(any));
                        }
                    }
                    other => return Err(wrong("String, [String]", other)),
                }
            }
            Ok((!all.is_empty()).then_some(Filter::And(all)))
        }
        other => Err(wrong("String, Array", other)),
    }
}

/// Parses a filter text; none if it is blank.
pub(crate) fn parse(text: &str) -> Parsed<Option<Filter>> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { text: text.chars().collect(), at: 0 };
    let filter = parser.or()?;
    parser.blanks();
    if parser.at < parser.text.len() {
        let rest: String = parser.text[parser.at..].iter().collect();
        return Err(parser.fault(
            format!("Found unexpected characters at the end of the filter: `{rest}`. You probably forgot an `OR` or an `AND` rule."),
            parser.at,
            parser.text.len(),
        ));
    }
    Ok(Some(filter))
}

/// The parser and where it stands.
pub(super) struct Parser {
    /// The filter.
    pub(super) text: Vec<char>,
    /// The next character.
    pub(super) at: usize,
}

impl Parser {
    pub(super) fn fault(&self, message: String, start: usize, end: usize) -> FilterFault {
        let text: String = self.text.iter().collect();
        FilterFault::new(format!("{message}\n{}:{} {text}", start + 1, end.max(start) + 1))
    }

    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        self.blanks();
        let length = symbol.chars().count();
        let found = self.text[self.at..].iter().take(length).copied().eq(symbol.chars());
        if found {
            self.at += length;
        }
        found
    }

    /// A keyword: followed by something that cannot continue a word.
    fn keyword(&mut self, keyword: &str) -> bool {
        let start = self.at;
        if self.symbol(keyword) && !self.text.get(self.at).copied().is_some_and(plain) {
            return true;
        }
        self.at = start;
        false
    }

    fn keywords(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        if words.iter().all(|word| self.keyword(word)) {
            return true;
        }
        self.at = start;
        false
    }

    fn or(&mut self) -> Parsed<Filter> {
        let mut any = vec![self.and()?];
        while self.keyword("OR") {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Filter::Or(any) })
    }

    fn and(&mut self) -> Parsed<Filter> {
        let mut all = vec![self.not()?];
        while self.keyword("AND") {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn not(&mut self) -> Parsed<Filter> {
        if self.keyword("NOT") { Ok(Filter::Not(Box::new(self.not()?))) } else { self.primary() }
    }

    fn primary(&mut self) -> Parsed<Filter> {
        self.blanks();
        let start = self.at;
        if self.symbol("(") {
            let inner = self.or()?;
            if !self.symbol(")") {
                let rest: String = self.text[start..].iter().collect();
                return Err(self.fault(
                    format!("Expression `{rest}` is missing the following closing delimiter: `)`."),
                    start,
                    self.text.len(),
                ));
            }
            return Ok(inner);
        }
        if self.symbol("_geoRadius") {
            return self.radius(start);
        }
        if self.symbol("_geoBoundingBox") {
            return self.bounding_box(start);
        }
        self.condition(start)
    }

    pub(super) fn place(&self, start: usize) -> Word {
        Word { text: self.text[start..self.at].iter().collect(), start, end: self.at }
    }

    fn condition(&mut self, start: usize) -> Parsed<Filter> {
        if start >= self.text.len() {
            let end = self.text.len();
            return Err(self.fault(
                format!("Was expecting an operation {OPERATIONS} but instead got nothing."),
                end,
                end,
            ));
        }
        let attribute = self.value()?;
        let not = |filter: Filter| Filter::Not(Box::new(filter));
        let on = |test: Test| Filter::On(attribute.clone(), test);
        for operator in ["!=", "<=", ">=", "=", "<", ">"] {
            if self.symbol(operator) {
                let value = self.value()?;
                return Ok(on(match operator {
                    "=" => Test::Equal(value),
                    "!=" => Test::NotEqual(value),
                    "<=" => Test::Compare("<=", value),
                    ">=" => Test::Compare(">=", value),
                    "<" => Test::Compare("<", value),
                    _ => Test::Compare(">", value),
                }));
            }
        }
        if self.keyword("EXISTS") {
            return Ok(on(Test::Exists));
        }
        if self.keywords(&["NOT", "EXISTS"]) {
            return Ok(not(on(Test::Exists)));
        }
        for (word, test) in [("NULL", Test::Null), ("EMPTY", Test::Empty)] {
            if self.keywords(&["IS", word]) {
                return Ok(on(test));
            }
            if self.keywords(&["IS", "NOT", word]) {
                return Ok(not(on(test)));
            }
        }
        if self.keyword("IN") {
            return Ok(on(Test::In(self.list()?)));
        }
        if self.keywords(&["NOT", "IN"]) {
            return Ok(not(on(Test::In(self.list()?))));
        }
        if self.keyword("CONTAINS") {
            return Ok(on(Test::Contains(self.value()?)));
        }
        if self.keywords(&["NOT", "CONTAINS"]) {
            return Ok(not(on(Test::Contains(self.value()?))));
        }
        if self.keywords(&["STARTS", "WITH"]) {
            return Ok(on(Test::StartsWith(self.value()?)));
        }
        if self.keywords(&["NOT", "STARTS", "WITH"]) {
            return Ok(not(on(Test::StartsWith(self.value()?))));
        }
        let behind = self.at;
        if let Ok(low) = self.value()
            && self.keyword("TO")
            && let Ok(high) = self.value()
        {
            return Ok(on(Test::Between(low, high)));
        }
        self.at = behind;
        if attribute.text.starts_with("_geo") {
            return Err(self.reserved(&attribute.text, start, self.text.len()));
        }
        let rest: String = self.text[start..].iter().collect();
        let message = format!("Was expecting an operation {OPERATIONS} at `{rest}`.");
        Err(self.fault(message, start, self.text.len()))
    }

    fn list(&mut self) -> Parsed<Vec<Word>> {
        let mut values = Vec::new();
        if !self.symbol("[") {
            let at = self.at;
            return Err(self.fault("Expected `[` after `IN` keyword.".into(), at, self.text.len()));
        }
        while !self.symbol("]") {
            values.push(self.value()?);
            if !self.symbol(",") && self.text.get(self.at) != Some(&']') {
                self.blanks();
                if self.text.get(self.at) != Some(&']') {
                    let at = self.at;
                    return Err(self.fault(
                        "Expected matching `]` after the list of field names given to `IN[`".into(),
                        at,
                        self.text.len(),
                    ));
                }
            }
        }
        Ok(values)
    }

    pub(super) fn value(&mut self) -> Parsed<Word> {
        self.blanks();
        let start = self.at;
        match self.text.get(start).copied() {
            Some(quote @ ('"' | '\'')) => {
                let mut text = String::new();
                let mut at = start + 1;
                while let Some(character) = self.text.get(at).copied() {
                    at += 1;
                    match character {
                        '\\' if self.text.get(at).is_some_and(|next| *next == quote) => {
                            text.push(quote);
                            at += 1;
                        }
                        other if other == quote => {
                            self.at = at;
                            return Ok(Word { text, start: start + 1, end: at - 1 });
                        }
                        other => text.push(other),
                    }
                }
                let rest: String = self.text[start..].iter().collect();
                Err(self.fault(
                    format!("Expression `{rest}` is missing the following closing delimiter: `{quote}`."),
                    start,
                    self.text.len(),
                ))
            }
            Some('=') => {
                let at = start + 1;
                Err(self.fault("Was expecting a value but instead got nothing.".into(), at - 1, at - 1))
            }
            Some(first) if plain(first) => {
                while self.text.get(self.at).copied().is_some_and(plain) {
                    self.at += 1;
                }
                let word = self.place(start);
                if start > 0 && ["_geo", "_geoPoint", "_geoDistance"].contains(&word.text.as_str()) {
                    return Err(self.reserved(&word.text, word.start, word.end));
                }
                Ok(word)
            }
            Some(_) => {
                let rest: String = self.text[start..].iter().collect();
                Err(self.fault(format!("Was expecting a value but instead got `{rest}`."), start, self.text.len()))
            }
            None => {
                let end = self.text.len();
                Err(self.fault("Was expecting a value but instead got nothing.".into(), end, end))
            }
        }
    }

    fn reserved(&self, name: &str, start: usize, end: usize) -> FilterFault {
        self.fault(
            format!("`{name}` is a reserved keyword and thus can't be used as a filter expression. Use the `_geoRadius(latitude, longitude, distance)` or `_geoBoundingBox([latitude, longitude], [latitude, longitude])` built-in rules to filter on `_geo` coordinates."),
            start,
            end,
        )
    }
}

/// Characters of an unquoted word.
fn plain(character: char) -> bool {
    character.is_alphanumeric() || ['_', '-', '/', '.', '+', ':'].contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_not_and_or() {
        let filter = parse("a = 1 OR b = 2 AND NOT c EXISTS").unwrap().unwrap();
        let Filter::Or(any) = filter else { panic!("{filter:?}") };
        assert!(matches!(&any[1], Filter::And(all) if matches!(all[1], Filter::Not(_))));
    }

    #[test]
    fn quotes_lists_and_ranges() {
        let filter = parse(r#"a IN ["x y", 'z'] AND b 1 TO 2"#).unwrap().unwrap();
        let Filter::And(all) = filter else { panic!("{filter:?}") };
        assert!(matches!(&all[0], Filter::On(_, Test::In(words)) if words[0].text == "x y" && words.len() == 2));
        assert!(matches!(&all[1], Filter::On(_, Test::Between(..))));
    }

    #[test]
    fn complaints_name_the_place() {
        let message = |text: &str| parse(text).unwrap_err().message;
        assert!(message("year 1 TO 2 3").ends_with("\n13:14 year 1 TO 2 3"), "{}", message("year 1 TO 2 3"));
        assert!(message("(year = 1").ends_with("\n1:10 (year = 1"), "{}", message("(year = 1"));
        assert_eq!(parse("  "), Ok(None));
    }
}
