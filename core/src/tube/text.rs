//! Text.

use bytes::Bytes;

use super::contract::Tube;
use super::error::{Error, Problem, Reason};

/// From UTF-8, cut anywhere, to text. Bytes that are none are [`Problem::Malformed`].
#[derive(Debug, Default)]
pub struct Utf8Decoder {
    /// The start of a character that is not all there.
    held: Vec<u8>,
    text: Option<String>,
    error: Option<Error>,
}

impl Tube for Utf8Decoder {
    type In = Bytes;
    type Out = String;

    fn received(&mut self, chunk: Bytes) -> Result<(), Error> {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(&chunk);
        match String::from_utf8(bytes) {
            Ok(text) => self.text = Some(text),
            Err(error) => {
                let problem = error.utf8_error();
                let mut bytes = error.into_bytes();
                let rest = bytes.split_off(problem.valid_up_to());
                if problem.error_len().is_some() {
                    self.error = Some(Error::new(Problem::Malformed {
                        what: "UTF-8",
                        detail: problem.to_string(),
                    }));
                } else {
                    self.held = rest;
                }
                self.text = String::from_utf8(bytes)
                    .ok()
                    .filter(|text| !text.is_empty());
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<String>, Error> {
        // What is in order comes first, however the bytes were cut.
        match (self.text.take(), &self.error) {
            (None, Some(_)) => self.error.take().map_or(Ok(None), Err),
            (text, _) => Ok(text),
        }
    }

    fn reassemble(&mut self, outputs: Vec<String>) -> Vec<Bytes> {
        let held = std::mem::take(&mut self.held);
        let texts = outputs.into_iter().chain(self.text.take());
        texts
            .map(Bytes::from)
            .chain([Bytes::from(held)])
            .filter(|bytes| !bytes.is_empty())
            .collect()
    }

    fn stopped(&mut self, reason: &Reason) -> Result<(), Error> {
        match reason {
            Reason::Done if !self.held.is_empty() => Err(Error::new(Problem::Truncated {
                held: self.held.len(),
            })),
            _ => Ok(()),
        }
    }
}

/// From text to UTF-8.
#[derive(Debug, Default)]
pub struct Utf8Encoder {
    bytes: Option<Bytes>,
}

impl Tube for Utf8Encoder {
    type In = String;
    type Out = Bytes;

    fn received(&mut self, text: String) -> Result<(), Error> {
        self.bytes = Some(Bytes::from(text));
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.bytes.take())
    }

    fn reassemble(&mut self, outputs: Vec<Bytes>) -> Vec<String> {
        let kept = outputs.into_iter().chain(self.bytes.take());
        kept.filter_map(|bytes| String::from_utf8(bytes.into()).ok())
            .collect()
    }
}
