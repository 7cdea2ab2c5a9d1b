//! Query strings of writes: reading the client's as the engine does, and writing the nodes'.

use crate::error::{ErrorBody, expected_one_of};

/// Decodes one name or value of a query string: `+` is a space, `%XX` a byte, ill-formed UTF-8 becomes U+FFFD, as in
/// the engine (`serde_urlencoded`).
pub(super) fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    decode_segment(&spaced)
}

/// Decodes one segment of a path: `%XX` is a byte, everything else stands for itself.
#[must_use]
pub fn decode_segment(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|pair| (pair, after)),
            _ => None,
        };
        match escaped {
            Some(((high, low), after)) => {
                bytes.push((high << 4) | low);
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Appends `text` percent-encoded, so that it can stand in a path segment or a query value.
pub(super) fn encode_into(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble & 0xf)).map_or('0', |digit| char::from(*digit));
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte));
        }
    }
}

/// What a client may say in the query string of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `primaryKey`.
    pub primary_key: Option<String>,
    /// `csvDelimiter`: one ASCII byte.
    pub csv_delimiter: Option<u8>,
    /// `customMetadata`.
    pub custom_metadata: Option<String>,
    /// `skipCreation`.
    pub skip_creation: bool,
}

/// Parameters of `POST` and `PUT /documents`, in the order in which the engine lists them.
pub(super) const ADDITION: &[&str] = &["primaryKey", "csvDelimiter", "customMetadata", "skipCreation"];

/// Parameters of every deletion.
pub(super) const DELETION: &[&str] = &["customMetadata"];

/// Reads a query string, of which only `accepted` parameters may be used. The last of repeated ones counts.
pub(super) fn read(query: Option<&str>, accepted: &[&str]) -> Result<Parameters, ErrorBody> {
    let mut parameters = Parameters::default();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        if !accepted.contains(&name.as_str()) {
            let expected = expected_one_of(&name, accepted.iter().copied());
            return Err(ErrorBody::new("bad_request", format!("Unknown parameter `{name}`: {expected}")));
        }
        match name.as_str() {
            "primaryKey" => parameters.primary_key = Some(value),
            "csvDelimiter" => parameters.csv_delimiter = Some(delimiter(&value)?),
            "customMetadata" => parameters.custom_metadata = Some(value),
            _ => parameters.skip_creation = boolean(&value)?,
        }
    }
    Ok(parameters)
}

fn delimiter(value: &str) -> Result<u8, ErrorBody> {
    let refuse = |message: String| Err(ErrorBody::new("invalid_document_csv_delimiter", message));
    let mut characters = value.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => match u8::try_from(character) {
            Ok(byte) if byte.is_ascii() => Ok(byte),
            _ => refuse(format!("csv delimiter must be an ascii character. Found: `{character}`")),
        },
        (None, _) => refuse(
            "Invalid value in parameter `csvDelimiter`: expected a string of one character, but found an empty string"
                .to_owned(),
        ),
        _ => refuse(format!(
            "Invalid value in parameter `csvDelimiter`: expected a string of one character, but found the following \
             string of {} characters: `{value}`",
            value.chars().count()
        )),
    }
}

fn boolean(value: &str) -> Result<bool, ErrorBody> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(ErrorBody::new(
            "invalid_skip_creation",
            format!("skipCreation must be either `true` or `false`. Found: `{value}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_as_form_data() {
        assert_eq!(decode("a+b%20c%C3%A9%"), "a b cé%");
        assert_eq!(decode("%ff"), "\u{FFFD}");
        assert_eq!(decode_segment("a+b%2F"), "a+b/");
    }

    #[test]
    fn encoding_survives_decoding() {
        let mut out = String::new();
        encode_into(&mut out, "é &=+%/a-b_c.d~");
        assert_eq!(decode(&out), "é &=+%/a-b_c.d~");
    }

    #[test]
    fn parameters_are_read() {
        let read =
            read(Some("primaryKey=sku&csvDelimiter=%3B&customMetadata=a%26b&skipCreation=true"), ADDITION).unwrap();
        assert_eq!(read.primary_key.as_deref(), Some("sku"));
        assert_eq!(read.csv_delimiter, Some(b';'));
        assert_eq!(read.custom_metadata.as_deref(), Some("a&b"));
        assert!(read.skip_creation);
    }

    /// Texts recorded from Meilisearch 1.50.
    #[test]
    fn faults_read_as_the_engines() {
        let fault = |query: &str, accepted| read(Some(query), accepted).unwrap_err();
        let unknown = fault("foo=1", ADDITION);
        assert_eq!(
            unknown.message,
            "Unknown parameter `foo`: expected one of `primaryKey`, `csvDelimiter`, `customMetadata`, `skipCreation`"
        );
        assert_eq!(unknown.code, "bad_request");
        assert_eq!(fault("x=1", DELETION).message, "Unknown parameter `x`: expected one of `customMetadata`");
        let long = fault("csvDelimiter=ab", ADDITION);
        assert_eq!(
            long.message,
            "Invalid value in parameter `csvDelimiter`: expected a string of one character, but found the following string of 2 characters: `ab`"
        );
        assert_eq!(
            fault("csvDelimiter=", ADDITION).message,
            "Invalid value in parameter `csvDelimiter`: expected a string of one character, but found an empty string"
        );
        assert_eq!(
            fault("csvDelimiter=%C3%A9", ADDITION).message,
            "csv delimiter must be an ascii character. Found: `é`"
        );
        assert!(read(Some("skipCreation=True"), ADDITION).unwrap().skip_creation);
        assert_eq!(fault("skipCreation", ADDITION).message, "skipCreation must be either `true` or `false`. Found: ``");
    }
}
