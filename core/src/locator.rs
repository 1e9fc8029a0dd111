//! Peer locations and sturdy references, and their URIs.
//!
//! `ocapn://<designator>.<transport>/s/<swiss number>?<hint>=<value>`, after OCapN's Locators
//! draft; the swiss number is base64url without padding, as Goblins and Endo write it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::syrup::{Cursor, SyrupError, Token, Writer};

/// What must be escaped in a designator, a hint's name or value.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'@')
    .add(b'\\')
    .add(b'^')
    .add(b'|');
/// A designator may not hold a slash, either.
const DESIGNATOR: &AsciiSet = &ESCAPED.add(b'/').add(b':');

/// Where a peer can be found: a transport, a name on it, and hints for getting there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The netlayer, such as `tcp-testing-only` or `websocket`.
    pub transport: String,
    /// The peer's name on that netlayer.
    pub designator: String,
    /// How to reach it, such as `host` and `port`, or `url`.
    pub hints: BTreeMap<String, String>,
}

impl Location {
    /// True if both name the same peer; hints do not matter.
    ///
    /// Source: OCapN CapTP draft, "When comparing two peer locators, the designator and transport
    /// are the only pieces of information which need to match".
    pub fn same_peer(&self, other: &Self) -> bool {
        self.transport == other.transport && self.designator == other.designator
    }

    /// Writes `<ocapn-peer transport designator hints>`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_record("ocapn-peer", |out| {
            out.put_symbol(&self.transport);
            out.put_str(&self.designator);
            if self.hints.is_empty() {
                out.put_bool(false);
                return;
            }
            let mut hints: Vec<Vec<u8>> = Vec::with_capacity(self.hints.len());
            for (name, value) in &self.hints {
                let mut hint = Vec::new();
                hint.put_str(name);
                hint.put_str(value);
                hints.push(hint);
            }
            // Keys are distinct and self-delimiting, so whole entries sort as their keys do.
            hints.sort();
            out.push(b'{');
            out.extend(hints.concat());
            out.push(b'}');
        });
    }

    /// Reads what [`Self::write`] writes.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, SyrupError> {
        let at = cursor.position();
        let malformed = |why| Err(SyrupError::Malformed { at, why });
        let (Token::Record, Token::Symbol("ocapn-peer")) = (cursor.next()?, cursor.next()?) else {
            return malformed("a location must be an ocapn-peer record");
        };
        let (Token::Symbol(transport), Token::Str(designator)) = (cursor.next()?, cursor.next()?)
        else {
            return malformed("a location needs a transport and a designator");
        };
        /// A hello comes from anybody.
        const MOST_HINTS: usize = 32;
        let mut hints = BTreeMap::new();
        match cursor.next()? {
            Token::Bool(false) => {}
            Token::Dict => loop {
                match cursor.next()? {
                    Token::EndDict => break,
                    Token::Str(_) if hints.len() >= MOST_HINTS => {
                        return malformed("a location has too many hints");
                    }
                    Token::Str(name) => {
                        let Token::Str(value) = cursor.next()? else {
                            return malformed("a hint must be a string");
                        };
                        if hints.insert(name.to_owned(), value.to_owned()).is_some() {
                            return malformed("a dictionary has one key twice");
                        }
                    }
                    _ => return malformed("a hint's name must be a string"),
                }
            },
            _ => return malformed("hints must be a dictionary or false"),
        }
        let Token::EndRecord = cursor.next()? else {
            return malformed("a location has too many fields");
        };
        Ok(Self {
            transport: transport.to_owned(),
            designator: designator.to_owned(),
            hints,
        })
    }

    fn write_uri(&self, f: &mut fmt::Formatter<'_>, swiss: Option<&[u8]>) -> fmt::Result {
        let designator = utf8_percent_encode(&self.designator, DESIGNATOR);
        write!(f, "ocapn://{designator}.{}", self.transport)?;
        if let Some(swiss) = swiss {
            write!(f, "/s/{}", Base64UrlUnpadded::encode_string(swiss))?;
        }
        for (index, (name, value)) in self.hints.iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            let name = utf8_percent_encode(name, ESCAPED);
            write!(f, "{mark}{name}={}", utf8_percent_encode(value, ESCAPED))?;
        }
        Ok(())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_uri(f, None)
    }
}

/// A reference that can be written down: a peer's location and the object's swiss number. Whoever
/// knows it may use the object.
///
/// ```
/// use marotte::SturdyRef;
/// let uri = "ocapn://alice.tcp-testing-only/s/c3RhdHVz?host=127.0.0.1&port=22045";
/// let sturdy: SturdyRef = uri.parse().unwrap();
/// assert_eq!(sturdy.swiss, b"status");
/// assert_eq!(sturdy.location.hints["port"], "22045");
/// assert_eq!(sturdy.to_string(), uri);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SturdyRef {
    /// The peer.
    pub location: Location,
    /// The object's swiss number: a secret, unless the object was registered under a name.
    pub swiss: Vec<u8>,
}

impl SturdyRef {
    /// Writes `<ocapn-sturdyref peer swiss>`, as it is passed in messages.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_record("ocapn-sturdyref", |out| {
            self.location.write(out);
            out.put_bytes(&self.swiss);
        });
    }

    /// Reads a whole record, as messages have it. `None` if it is none.
    pub fn from_record(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (Token::Record, Token::Symbol("ocapn-sturdyref")) =
            (cursor.next().ok()?, cursor.next().ok()?)
        else {
            return None;
        };
        Self::read_fields(&mut cursor).ok()
    }

    /// Reads what stands behind the label of what [`Self::write`] writes.
    pub(crate) fn read_fields(cursor: &mut Cursor<'_>) -> Result<Self, SyrupError> {
        let location = Location::read(cursor)?;
        let at = cursor.position();
        let swiss = match cursor.next()? {
            Token::Bytes(swiss) => swiss.to_vec(),
            // So the Locators draft has it.
            Token::Str(swiss) => swiss.as_bytes().to_vec(),
            _ => {
                return Err(SyrupError::Malformed {
                    at,
                    why: "a swiss number must be bytes",
                });
            }
        };
        Ok(Self { location, swiss })
    }
}

impl fmt::Debug for SturdyRef {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SturdyRef({}/s/…)", self.location)
    }
}

impl fmt::Display for SturdyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location.write_uri(f, Some(&self.swiss))
    }
}

/// Why a text is not a sturdy reference. The text itself is left out: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an ocapn:// reference: {0}")]
pub struct BadLocator(&'static str);

impl FromStr for SturdyRef {
    type Err = BadLocator;

    fn from_str(text: &str) -> Result<Self, BadLocator> {
        let rest = text
            .strip_prefix("ocapn://")
            .ok_or(BadLocator("it must begin with ocapn://"))?;
        let (head, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = head
            .split_once('/')
            .ok_or(BadLocator("it names a peer but no object (/s/…)"))?;
        let swiss = path
            .strip_prefix("s/")
            .ok_or(BadLocator("the path must begin with /s/"))?;
        let swiss = Base64UrlUnpadded::decode_vec(swiss)
            .map_err(|_| BadLocator("the swiss number must be base64url without padding"))?;
        let (designator, transport) = authority
            .rsplit_once('.')
            .ok_or(BadLocator("the peer must be <designator>.<transport>"))?;
        if designator.is_empty() || transport.is_empty() {
            return Err(BadLocator("the peer must be <designator>.<transport>"));
        }
        let decode = |part: &str| {
            percent_decode_str(part)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| BadLocator("an escape is not UTF-8"))
        };
        let mut hints = BTreeMap::new();
        for hint in query.split('&').filter(|hint| !hint.is_empty()) {
            let (name, value) = hint
                .split_once('=')
                .ok_or(BadLocator("a hint must be name=value"))?;
            hints.insert(decode(name)?, decode(value)?);
        }
        let location = Location {
            transport: transport.to_owned(),
            designator: decode(designator)?,
            hints,
        };
        Ok(Self { location, swiss })
    }
}
