//! What a JSON body must look like, as data, and the one walk that checks a body against it. The walk reports the
//! first fault in the order of the body, in the engine's words and with the engine's code, and returns the body in
//! canonical form: members in the order of the shape, sets sorted and free of repeats, absent members left out.

use miroir_core::error::ErrorBody;
use serde_json::{Map, Value};

use super::wording;

/// A check beyond types; may also rewrite the value.
pub(crate) type Check = fn(&mut Value) -> Result<(), String>;

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A string.
    Text,
    /// `true` or `false`.
    Bool,
    /// An integer from 0 to the given maximum.
    Count(u64),
    /// An integer above 0.
    Positive,
    /// Any number.
    Number,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// An array.
    List(&'static Shape),
    /// An array whose order and repeats do not matter.
    Set(&'static Shape),
    /// An object with any keys, sorted.
    Table(&'static Shape),
    /// An object with these members and no others.
    Object(&'static [Field]),
    /// An object with these members; others are ignored.
    Open(&'static [Field]),
    /// A string, or the other shape for an object.
    TextOr(&'static Shape),
    /// The shape, or null.
    Nullable(&'static Shape),
    /// A shape and a further check.
    Checked(&'static Shape, Check),
    /// Anything.
    Any,
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its name.
    pub name: &'static str,
    /// What its value must be.
    pub shape: Shape,
    /// What its absence means.
    pub absent: Absent,
    /// Code of faults in it; that of the surroundings if none.
    pub code: Option<&'static str>,
}

/// What the absence of a member means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Absent {
    /// It stays absent.
    Fine,
    /// It is missing, with this code, or with that of the surroundings.
    Fault(Option<&'static str>),
    /// This JSON text is filled in.
    Default(&'static str),
    /// It must not be there at all: it cannot be changed, with this code.
    Immutable(&'static str),
}

impl Field {
    /// A member that may be left out and may be null.
    pub(crate) const fn setting(name: &'static str, shape: &'static Shape) -> Self {
        Self { name, shape: Shape::Nullable(shape), absent: Absent::Fine, code: None }
    }

    /// A member that must be there.
    pub(crate) const fn required(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, absent: Absent::Fault(None), code: None }
    }

    /// A member with a default.
    pub(crate) const fn defaulted(name: &'static str, shape: Shape, json: &'static str) -> Self {
        Self { name, shape, absent: Absent::Default(json), code: None }
    }

    /// The same member with a code of its own.
    pub(crate) const fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    fn accepted(&self) -> bool {
        !matches!(self.absent, Absent::Immutable(_))
    }
}

/// Checks a value; faults outside of members with a code of their own get `code`.
pub(crate) fn read(shape: &Shape, value: Value, code: &'static str) -> Result<Value, ErrorBody> {
    walk(shape, value, &mut Place { path: String::new(), code })
}

struct Place {
    path: String,
    code: &'static str,
}

impl Place {
    fn fault(&self, message: String) -> ErrorBody {
        ErrorBody::new(self.code, message)
    }

    fn wrong_type<T>(&self, expected: &str, found: &Value) -> Result<T, ErrorBody> {
        Err(self.fault(wording::wrong_type(&self.path, expected, found)))
    }

    fn within<T>(&mut self, step: &str, inner: impl FnOnce(&mut Self) -> Result<T, ErrorBody>) -> Result<T, ErrorBody> {
        let length = self.path.len();
        self.path.push_str(step);
        let result = inner(self);
        self.path.truncate(length);
        result
    }
}

fn walk(shape: &Shape, value: Value, place: &mut Place) -> Result<Value, ErrorBody> {
    match (shape, value) {
        (Shape::Any, value) | (Shape::Text, value @ Value::String(_)) | (Shape::Bool, value @ Value::Bool(_)) => {
            Ok(value)
        }
        (Shape::Number, value @ Value::Number(_)) => Ok(value),
        (Shape::Nullable(_), Value::Null) => Ok(Value::Null),
        (Shape::Nullable(inner), value) => walk(inner, value, place),
        (Shape::TextOr(inner), value @ Value::Object(_)) => walk(inner, value, place),
        (Shape::TextOr(_), value) => walk(&Shape::Text, value, place),
        (Shape::Checked(inner, check), value) => {
            let mut value = walk(inner, value, place)?;
            check(&mut value).map_err(|why| place.fault(wording::invalid(&place.path, &why)))?;
            Ok(value)
        }
        (Shape::Count(_) | Shape::Positive, Value::Number(number)) if number.is_u64() => {
            integer(shape, number.as_u64().unwrap_or_default(), place)
        }
        (Shape::Choice(names), Value::String(text)) => {
            if names.contains(&text.as_str()) {
                Ok(Value::String(text))
            } else {
                Err(place.fault(wording::unknown_value(&place.path, &text, names.iter().copied())))
            }
        }
        (Shape::List(inner), Value::Array(items)) => list(inner, items, place).map(Value::Array),
        (Shape::Set(inner), Value::Array(items)) => {
            let mut items = list(inner, items, place)?;
            items.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
            items.dedup();
            Ok(Value::Array(items))
        }
        (Shape::Table(inner), Value::Object(members)) => {
            let mut table = Map::new();
            for (name, value) in members {
                let value = place.within(&format!(".{name}"), |place| walk(inner, value, place))?;
                table.insert(name, value);
            }
            table.sort_keys();
            Ok(Value::Object(table))
        }
        (Shape::Object(fields), Value::Object(members)) => object(fields, true, members, place),
        (Shape::Open(fields), Value::Object(members)) => object(fields, false, members, place),
        (shape, value) => place.wrong_type(expected(shape), &value),
    }
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Bool => "a boolean",
        Shape::Count(_) | Shape::Positive => "a positive integer",
        Shape::Number => "a number",
        Shape::List(_) | Shape::Set(_) => "an array",
        Shape::Table(_) | Shape::Object(_) | Shape::Open(_) => "an object",
        _ => "a string",
    }
}

fn integer(shape: &Shape, value: u64, place: &Place) -> Result<Value, ErrorBody> {
    let why = match shape {
        Shape::Count(max) if value > *max => {
            format!("value: `{value}` is too large to be deserialized, maximum value authorized is `{max}`")
        }
        Shape::Positive if value == 0 => {
            format!("a non-zero integer value lower than `{}` was expected, but found a zero", u64::MAX)
        }
        _ => return Ok(value.into()),
    };
    Err(place.fault(wording::invalid(&place.path, &why)))
}

fn list(inner: &Shape, items: Vec<Value>, place: &mut Place) -> Result<Vec<Value>, ErrorBody> {
    let numbered = items.into_iter().enumerate();
    numbered.map(|(at, value)| place.within(&format!("[{at}]"), |place| walk(inner, value, place))).collect()
}

fn object(fields: &[Field], closed: bool, members: Map<String, Value>, place: &mut Place) -> Result<Value, ErrorBody> {
    let names = || fields.iter().filter(|field| field.accepted()).map(|field| field.name);
    let mut found = Map::new();
    for (name, value) in members {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            if closed {
                return Err(place.fault(wording::unknown_field(&place.path, &name, names())));
            }
            continue;
        };
        if let Absent::Immutable(code) = field.absent {
            return Err(ErrorBody::new(code, wording::immutable(&name, names())));
        }
        let outer = place.code;
        place.code = field.code.unwrap_or(outer);
        let value = place.within(&format!(".{name}"), |place| walk(&field.shape, value, place))?;
        place.code = outer;
        found.insert(name, value);
    }
    let mut ordered = Map::new();
    for field in fields {
        match (found.remove(field.name), field.absent) {
            (Some(value), _) => ordered.insert(field.name.to_owned(), value),
            (None, Absent::Default(json)) => {
                ordered.insert(field.name.to_owned(), serde_json::from_str(json).unwrap_or_default())
            }
            (None, Absent::Fault(code)) => {
                let message = wording::missing(&place.path, field.name);
                return Err(ErrorBody::new(code.unwrap_or(place.code), message));
            }
            (None, Absent::Fine | Absent::Immutable(_)) => None,
        };
    }
    Ok(Value::Object(ordered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const INNER: Shape = Shape::Object(&[
        Field::required("must", Shape::Text),
        Field::defaulted("may", Shape::Bool, "false"),
        Field { name: "born", shape: Shape::Any, absent: Absent::Immutable("immutable_born"), code: None },
    ]);
    const BODY: Shape = Shape::Object(&[
        Field::setting("set", &Shape::Set(&Shape::Text)).code("invalid_set"),
        Field::setting("table", &Shape::Table(&Shape::List(&Shape::Text))).code("invalid_table"),
        Field::setting("inner", &INNER).code("invalid_inner"),
        Field::setting("small", &Shape::Count(255)),
        Field::setting("above", &Shape::Positive),
    ]);

    fn fault(body: Value) -> (String, String) {
        let error = read(&BODY, body, "bad_request").unwrap_err();
        (error.code, error.message)
    }

    #[test]
    fn a_body_comes_back_in_canonical_form() {
        let body = json!({"table":{"b":["y","x"],"a":[]},"inner":{"must":"m"},"set":["z","a","z"],"small":null});
        let read = read(&BODY, body, "bad_request").unwrap().to_string();
        let expected =
            r#"{"set":["a","z"],"table":{"a":[],"b":["y","x"]},"inner":{"must":"m","may":false},"small":null}"#;
        assert_eq!(read, expected);
    }

    #[test]
    fn faults_have_place_and_code() {
        for (body, code, message) in [
            (json!([]), "bad_request", "Invalid value type: expected an object, but found an array: `[]`"),
            (
                json!({"set":[1]}),
                "invalid_set",
                "Invalid value type at `.set[0]`: expected a string, but found a positive integer: `1`",
            ),
            (
                json!({"set":[null]}),
                "invalid_set",
                "Invalid value type at `.set[0]`: expected a string, but found null",
            ),
            (
                json!({"table":{"a":-1.5}}),
                "invalid_table",
                "Invalid value type at `.table.a`: expected an array, but found a number: `-1.5`",
            ),
            (json!({"inner":{}}), "invalid_inner", "Missing field `must` inside `.inner`"),
            (
                json!({"inner":{"mast":1}}),
                "invalid_inner",
                "Unknown field `mast` inside `.inner`: did you mean `must`? expected one of `must`, `may`",
            ),
            (json!({"inner":{"born":1}}), "immutable_born", "Immutable field `born`: expected one of `must`, `may`"),
            (
                json!({"small":256}),
                "bad_request",
                "Invalid value at `.small`: value: `256` is too large to be deserialized, maximum value authorized is `255`",
            ),
            (
                json!({"small":-1}),
                "bad_request",
                "Invalid value type at `.small`: expected a positive integer, but found a negative integer: `-1`",
            ),
            (
                json!({"above":0}),
                "bad_request",
                "Invalid value at `.above`: a non-zero integer value lower than `18446744073709551615` was expected, but found a zero",
            ),
        ] {
            assert_eq!(fault(body), (code.to_owned(), message.to_owned()));
        }
    }

    #[test]
    fn the_first_fault_of_the_body_is_reported() {
        assert_eq!(fault(json!({"above":"x","set":1})).0, "bad_request");
        assert_eq!(fault(json!({"set":1,"above":"x"})).0, "invalid_set");
    }
}
