//! The text of an edit function, read far enough to know that what a node runs after it is run. It finds words of the
//! language outside strings and comments, and blocks that are bodies of functions; whether the text compiles at all is
//! the nodes' to judge.
//!
//! Where this reader and the engine's could disagree about a text, the engine refuses that text.

use std::str::Chars;

use crate::error::ErrorBody;

/// Words that end or load a script from anywhere in it.
const FORBIDDEN: [&str; 3] = ["exit", "eval", "import"];

/// Functions that the wrapper calls, and that the text may not define otherwise.
const NEEDED: [&str; 2] = ["remove", "type_of"];

/// Name of the variable that keeps the reserved field meanwhile.
pub(super) const KEPT: &str = "_miroir_kept";

/// Refuses a function that could skip what follows it, or take from the wrapper what it needs.
pub(super) fn check(script: &str) -> Result<(), ErrorBody> {
    let mut reader = Reader { rest: script.chars(), blocks: Vec::new(), functions: 0, last: None, head: Head::None };
    reader.read().map_err(|why| {
        let read = script.len().saturating_sub(reader.rest.as_str().len());
        let line = script.get(..read).unwrap_or_default().matches('\n').count().saturating_add(1);
        ErrorBody::new("bad_request", format!("The function cannot be run on a cluster: {why} (line {line})"))
    })
}

/// What an open brace began.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Statements, a map.
    Plain,
    /// The body of a function or closure.
    Function,
    /// `${` within a string.
    Interpolation,
}

/// How far the head of a function has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    None,
    /// Behind `fn`.
    Name,
    /// Within its parentheses.
    Parameters,
    /// Within the bars of a closure.
    Bars,
    /// A brace would open the body.
    Body,
}

struct Reader<'a> {
    rest: Chars<'a>,
    blocks: Vec<Block>,
    /// Open blocks that are bodies.
    functions: usize,
    /// The last token: its last character if it is a symbol, `w` for a word, `s` for a string.
    last: Option<char>,
    head: Head,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), String> {
        while let Some(character) = self.rest.next() {
            match character {
                _ if character.is_whitespace() => {}
                '/' if self.eat('/') => self.skip_line(),
                '/' if self.eat('*') => self.skip_comment()?,
                '"' | '\'' => self.skip_quoted(character)?,
                '`' => self.skip_text()?,
                '#' => self.hash()?,
                '{' => {
                    let body = self.head == Head::Body;
                    self.functions = self.functions.saturating_add(usize::from(body));
                    self.blocks.push(if body { Block::Function } else { Block::Plain });
                    self.symbol('{');
                }
                '}' => {
                    self.symbol('}');
                    match self.blocks.pop() {
                        Some(Block::Function) => self.functions = self.functions.saturating_sub(1),
                        Some(Block::Interpolation) => self.skip_text()?,
                        Some(Block::Plain) | None => {}
                    }
                }
                _ if character.is_ascii_alphanumeric() || character == '_' => self.word(character)?,
                _ => self.symbol(character),
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest.next();
        }
        found
    }

    fn symbol(&mut self, symbol: char) {
        let awaits_operand = matches!(self.last, None | Some('(' | ',' | '=' | '[' | '{' | ':' | ';'));
        self.head = match (self.head, symbol) {
            (Head::Name, '.') => Head::Name,
            (Head::Name, '(') => Head::Parameters,
            (Head::Parameters, ',') => Head::Parameters,
            (Head::Parameters, ')') | (Head::Bars, '|') => Head::Body,
            (Head::Bars, ',') => Head::Bars,
            // Else it is the operator.
            (Head::None, '|') if awaits_operand => Head::Bars,
            _ => Head::None,
        };
        self.last = Some(symbol);
    }

    fn word(&mut self, first: char) -> Result<(), String> {
        let mut word = String::from(first);
        while let Some(next) = self.peek().filter(|next| next.is_ascii_alphanumeric() || *next == '_') {
            word.push(next);
            self.rest.next();
        }
        // A number ends where its digits do, whatever stands behind it.
        let is_number = first.is_ascii_digit();
        let is = |name: &&&str| if is_number { word.ends_with(**name) } else { word == **name };
        if let Some(name) = FORBIDDEN.iter().find(is) {
            return Err(format!("it uses `{name}`, which is reserved; a field of that name is `doc[\"{name}\"]`"));
        }
        if is(&&"return") && self.functions == 0 {
            return Err("`return` stands outside of a `fn` or of a closure in braces".to_owned());
        }
        if is(&&KEPT) {
            return Err(format!("the name `{KEPT}` is reserved"));
        }
        if self.head == Head::Name
            && let Some(name) = NEEDED.iter().find(is)
        {
            return Err(format!("a function may not be named `{name}`"));
        }
        self.head = match self.head {
            Head::Name | Head::Parameters | Head::Bars => self.head,
            _ if word == "fn" && self.last != Some('.') => Head::Name,
            _ => Head::None,
        };
        self.last = Some('w');
        Ok(())
    }

    fn string(&mut self) {
        // A method can be defined for a type whose name is written as a string.
        if self.head != Head::Name {
            self.head = Head::None;
        }
        self.last = Some('s');
    }

    fn skip_line(&mut self) {
        self.rest.find(|character| matches!(character, '\n' | '\r'));
    }

    fn skip_comment(&mut self) -> Result<(), String> {
        let mut level = 1usize;
        while let Some(character) = self.rest.next() {
            match character {
                '/' if self.eat('*') => level = level.saturating_add(1),
                '*' if self.eat('/') => level = level.saturating_sub(1),
                _ => {}
            }
            if level == 0 {
                return Ok(());
            }
        }
        Err("it ends within a comment".to_owned())
    }

    /// A string or character whose escapes begin with a backslash.
    fn skip_quoted(&mut self, quote: char) -> Result<(), String> {
        while let Some(character) = self.rest.next() {
            if character == quote {
                self.string();
                return Ok(());
            }
            if character == '\\' {
                self.rest.next();
            }
        }
        Err("it ends within a string".to_owned())
    }

    /// A string in backticks, up to its end or to the code within it.
    fn skip_text(&mut self) -> Result<(), String> {
        while let Some(character) = self.rest.next() {
            match character {
                '`' => {
                    self.string();
                    return Ok(());
                }
                '\\' if self.rest.as_str().starts_with("${") => {
                    self.rest.next();
                }
                '$' if self.eat('{') => {
                    self.blocks.push(Block::Interpolation);
                    self.symbol('{');
                    return Ok(());
                }
                _ => {}
            }
        }
        Err("it ends within a string".to_owned())
    }

    /// A raw string, if one begins with this character.
    fn hash(&mut self) -> Result<(), String> {
        let mut hashes = 1usize;
        while self.eat('#') {
            hashes = hashes.saturating_add(1);
        }
        if !self.eat('"') {
            self.symbol('#');
            return Ok(());
        }
        while let Some(character) = self.rest.next() {
            if character != '"' {
                continue;
            }
            let mut left = hashes;
            while left > 0 && self.eat('#') {
                left = left.saturating_sub(1);
            }
            if left == 0 {
                self.string();
                return Ok(());
            }
        }
        Err("it ends within a string".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn why(script: &str) -> String {
        let error = check(script).expect_err(script);
        assert_eq!((error.status(), error.code.as_str()), (400, "bad_request"));
        error.message
    }

    #[test]
    fn what_ends_as_it_is_written_passes() {
        for script in [
            "",
            "doc.title = doc.title.to_upper()",
            "fn twice(x) { return x * 2 } doc.n = twice(doc.n)",
            "private fn f() { if true { return 1 } 2 } doc.n = f()",
            "fn \"map\".size(a) { return a } fn string.size() { return 1 }",
            "doc.n = doc.n.map(|x| { if x == 3 { return 7 } x })",
            "let f = || { return 1 }; doc.n = f.call()",
            "let f = |a, b| { return a }; doc.n = f.call(1, 2)",
            r#"doc.a = "return"; doc.b = `exit ${doc.n + `${"eval"}`} import`; doc["exit"] = 'x'"#,
            r#"doc.a = "\"return"; doc.b = '\''; doc.c = `\${return`; doc.d = "a""return""#,
            r###"doc.a = #"return "quoted""#; doc.b = ##"exit"# eval"##"###,
            "// return\ndoc.n = 1 /* exit /* nested */ eval */ // import",
            "doc.exited = returned + reeval + importer",
            "doc = #{id: doc.id, f: |x| { return x }}",
            "fn f() { `${ return 1 }` }",
            "let remove = 1; doc.remove(\"a\")",
        ] {
            assert_eq!(check(script), Ok(()), "{script}");
        }
    }

    #[test]
    fn what_skips_the_rest_is_refused() {
        for script in [
            "return",
            "if doc.n == 1 { return }",
            "fn f() { 1 } return",
            "fn f() { { 1 } } { return }",
            "let x = 1 | 2 | { return }",
            "let x = a || { return true }",
            "let x = (a) | b | { return }",
            "let f = |x| return x",
            "fn f(a) + { return }",
            "let a = #{fn: 1, b: { return }}",
            "doc.a = `${return}`",
            "doc.a = `a${ fn_of(`b${1}`) } c`; return",
            "// comment\rreturn",
            "doc.a = 'a'; return // '",
            "doc.a = `\\`; return `",
            "doc.a = #\"\\\"#; return \"#",
            "doc.a = #{}; return",
            "5return",
        ] {
            assert!(why(script).contains("`return` stands outside"), "{script}: {}", why(script));
        }
        for name in FORBIDDEN {
            for script in
                [format!("{name}()"), format!("fn f() {{ {name} }}"), format!("1.{name}(2)"), format!("0b{name}")]
            {
                assert!(why(&script).contains(&format!("`{name}`")), "{script}");
            }
        }
        assert_eq!(
            why("doc.a = 1;\nexit()"),
            "The function cannot be run on a cluster: it uses `exit`, which is reserved; a field of that name is \
             `doc[\"exit\"]` (line 2)"
        );
    }

    #[test]
    fn what_takes_the_wrapper_its_means_is_refused() {
        for script in
            ["fn remove(key) {}", "fn map.remove(key) {}", "fn \"map\" . /* x */ remove(key) {}", "fn type_of(x) {}"]
        {
            assert!(why(script).contains("a function may not be named"), "{script}");
        }
        assert!(why("let _miroir_kept = 1").contains("is reserved"));
    }

    #[test]
    fn what_would_swallow_the_rest_is_refused() {
        for script in ["doc.a = 1 /* b", "/* /* */", "\"a", "\"a\\\"", "'", "`a", "`${1} b", "#\"a\"", "##\"a\"#"] {
            match script {
                "#\"a\"" | "##\"a\"#" | "\"a" | "\"a\\\"" | "'" | "`a" | "`${1} b" => {
                    assert!(why(script).contains("within a string"), "{script}");
                }
                _ => assert!(why(script).contains("within a comment"), "{script}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(script in any::<String>(), code in "[a-c{}|`$\"'#/*\\\\ \n]{0,60}") {
            let _ = check(&script);
            let _ = check(&code);
        }

        /// Whatever complete text stands before it, if nothing in it can open the body of a function.
        #[test]
        fn a_return_is_found_behind_anything_complete(code in "[a-c()}|,=`$\"'#/*\\\\ \n]{0,60}") {
            if check(&code).is_ok() {
                let text = format!("{code}\n; return");
                prop_assert!(check(&text).is_err(), "{}", text);
            }
        }
    }
}
