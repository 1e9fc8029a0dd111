//! Tubes in Rust: framing however the bytes are cut, streams, sinks, readers and writers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, sink, stream};
use marotte::tube::framing::{
    Delimited, DelimitedWriter, FinalLine, LineWriter, Lines, NetstringWriter, Netstrings, Prefix,
    Prefixed, PrefixedWriter,
};
use marotte::tube::{Error, Fount, Problem, Tube, Utf8Decoder, Utf8Encoder, receiver};
use proptest::prelude::*;

/// What a tube makes of items, the end included.
fn all<T: Tube>(mut tube: T, items: Vec<T::In>) -> Result<Vec<T::Out>, Error> {
    let mut outputs = Vec::new();
    let drain = |tube: &mut T, outputs: &mut Vec<T::Out>| -> Result<(), Error> {
        loop {
            while let Some(output) = tube.next()? {
                outputs.push(output);
            }
            if !tube.has_gathered() {
                return Ok(());
            }
            tube.flush()?;
        }
    };
    tube.started()?;
    for item in items {
        tube.received(item)?;
        drain(&mut tube, &mut outputs)?;
    }
    tube.stopped(&marotte::tube::Reason::Done)?;
    drain(&mut tube, &mut outputs)?;
    Ok(outputs)
}

fn cut(bytes: &Bytes, cuts: &[usize]) -> Vec<Bytes> {
    let mut rest = bytes.clone();
    let mut chunks = Vec::new();
    for cut in cuts {
        chunks.push(rest.split_to((*cut).min(rest.len())));
    }
    chunks.push(rest);
    chunks
}

fn there_and_back<E, D>(frames: &[Vec<u8>], encode: E, decode: D, cuts: &[usize])
where
    E: Tube<In = Bytes, Out = Bytes>,
    D: Tube<In = Bytes, Out = Bytes>,
{
    let frames: Vec<Bytes> = frames.iter().cloned().map(Bytes::from).collect();
    let chunks = all(encode, frames.clone()).unwrap();
    let whole: Bytes = chunks.concat().into();
    assert_eq!(all(decode, cut(&whole, cuts)).unwrap(), frames);
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_frames(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        cuts in prop::collection::vec(0_usize..30, 0..30),
    ) {
        let plain: Vec<Vec<u8>> = frames
            .iter()
            .map(|frame| frame.iter().map(|byte| byte % 26 + b'a').collect())
            .collect();
        there_and_back(&plain, LineWriter::new(b"\r\n"), Lines::new(40, FinalLine::Error), &cuts);
        there_and_back(&plain, LineWriter::new(b"\n"), Lines::new(40, FinalLine::Error), &cuts);
        there_and_back(
            &plain,
            DelimitedWriter::new(b"-=-").unwrap(),
            Delimited::new(b"-=-", 40).unwrap(),
            &cuts,
        );
        there_and_back(&frames, NetstringWriter::new(40), Netstrings::new(40), &cuts);
        for prefix in [Prefix::Int8, Prefix::Int16, Prefix::Int32] {
            there_and_back(&frames, PrefixedWriter::new(prefix, 40), Prefixed::new(prefix, 40), &cuts);
        }
    }

    #[test]
    fn any_cut_of_text_is_the_same_text(text in ".{0,60}", cuts in prop::collection::vec(0_usize..9, 0..30)) {
        let bytes: Bytes = all(Utf8Encoder::default(), vec![text.clone()]).unwrap().concat().into();
        let parts = all(Utf8Decoder::default(), cut(&bytes, &cuts)).unwrap();
        prop_assert_eq!(parts.concat(), text);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'1'), Just(b':'), Just(b',')], 0..80),
        cuts in prop::collection::vec(0_usize..20, 0..8),
    ) {
        let bytes = Bytes::from(bytes);
        let _ = all(Lines::new(10, FinalLine::Deliver), cut(&bytes, &cuts));
        let _ = all(Netstrings::new(10), cut(&bytes, &cuts));
        let _ = all(Prefixed::new(Prefix::Int32, 10), cut(&bytes, &cuts));
        let _ = all(Delimited::new(b"1,1", 10).unwrap(), cut(&bytes, &cuts));
        let _ = all(Utf8Decoder::default(), cut(&bytes, &cuts));
    }

    #[test]
    fn what_was_not_taken_is_given_back_to_the_byte(
        lines in prop::collection::vec("[a-c]{0,9}(\r\n|\n)", 1..20),
        taken in 0_usize..20,
        rest in "[a-c]{0,9}",
    ) {
        let text = lines.concat() + &rest;
        let mut decoder = Lines::new(100, FinalLine::Error);
        decoder.received(Bytes::from(text)).unwrap();
        let taken = taken.min(lines.len());
        for _ in 0..taken {
            prop_assert!(decoder.next().unwrap().is_some());
        }
        let back = decoder.reassemble(Vec::new()).concat();
        prop_assert_eq!(back, lines[taken..].concat().into_bytes().into_iter().chain(rest.bytes()).collect::<Vec<_>>());
    }
}

fn problem<T>(outcome: &Result<T, Error>) -> Option<&Problem> {
    outcome.as_ref().err().map(Error::problem)
}

#[test]
fn limits_and_frames_that_are_cut_off_are_errors() {
    let bytes = |text: &'static str| vec![Bytes::from_static(text.as_bytes())];
    let long = all(Lines::new(3, FinalLine::Error), bytes("abcd\n"));
    assert!(
        matches!(problem(&long), Some(Problem::FrameTooLong { limit: 3 })),
        "{long:?}"
    );
    // Without its end, too: it must not be kept for ever.
    let endless = all(Lines::new(3, FinalLine::Error), bytes("abcdefgh"));
    assert!(
        matches!(problem(&endless), Some(Problem::FrameTooLong { .. })),
        "{endless:?}"
    );
    let half = all(Netstrings::new(10), bytes("5:abc"));
    assert!(
        matches!(problem(&half), Some(Problem::Truncated { .. })),
        "{half:?}"
    );
    let odd = all(Netstrings::new(10), bytes("x"));
    assert!(
        matches!(problem(&odd), Some(Problem::Malformed { .. })),
        "{odd:?}"
    );
}

#[tokio::test]
async fn a_stream_through_tubes_into_a_sink() {
    let chunks = stream::iter(["1\n2", "0\n30\n"].map(Bytes::from));
    let numbers = Fount::new(chunks)
        .through(Lines::new(100, FinalLine::Error))
        .through(receiver(|line: Bytes| {
            std::str::from_utf8(&line)
                .ok()
                .and_then(|line| line.parse::<u32>().ok())
        }));
    let mut sum = Vec::new();
    let drain = sink::unfold(&mut sum, |sum, number| async move {
        sum.push(number);
        Ok::<_, Error>(sum)
    });
    numbers.flow_to(drain).await.unwrap();
    assert_eq!(sum, [1, 20, 30]);
}

#[tokio::test]
async fn an_error_comes_behind_what_came_before_it() {
    let chunks = stream::iter([
        Ok(Bytes::from("a\nb\nc")),
        Err(Error::new(Problem::Host("the disk is on fire".to_owned()))),
        Ok(Bytes::from("never")),
    ]);
    let lines = Fount::fallible(chunks).through(Lines::new(100, FinalLine::Error));
    let lines: Vec<_> = lines.collect().await;
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1].as_deref().unwrap(), b"b");
    assert_eq!(
        lines[2].as_ref().unwrap_err().to_string(),
        "the disk is on fire"
    );
}

#[tokio::test]
async fn a_tube_that_fails_ends_the_stream() {
    let chunks = stream::iter([Bytes::from("2:ok,x"), Bytes::from("3:abc,")]);
    let items: Vec<_> = Fount::new(chunks)
        .through(Netstrings::new(10))
        .collect()
        .await;
    assert!(
        items[0].is_ok() && items[1].is_err() && items.len() == 2,
        "{items:?}"
    );
}

#[tokio::test]
async fn nothing_is_made_before_it_is_wanted() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let source = stream::iter(0..1000).inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let stuck = sink::unfold(0, |taken, _| async move {
        match taken {
            0 => Ok::<_, Error>(1),
            _ => std::future::pending().await,
        }
    });
    let flow = Fount::new(source)
        .through(receiver(|n: i32| [n]))
        .boxed()
        .through(receiver(|n: i32| [n]))
        .flow_to(stuck);
    let time = std::time::Duration::from_millis(20);
    assert!(tokio::time::timeout(time, flow).await.is_err());
    let made = made.load(Ordering::Relaxed);
    assert!((1..=3).contains(&made), "{made}");
}

#[tokio::test]
async fn from_a_reader_to_a_writer() {
    let text = "to be\nor not\n".repeat(20_000);
    let mut out = Vec::new();
    Fount::read(text.as_bytes())
        .through(Lines::new(100, FinalLine::Error))
        .through(LineWriter::new(b"\r\n"))
        .write_to(&mut out)
        .await
        .unwrap();
    assert_eq!(out, text.replace('\n', "\r\n").into_bytes());
}

#[tokio::test]
async fn what_a_writer_gathered_goes_out_when_nothing_more_comes() {
    let (mut sender, lines) = tokio::io::duplex(100);
    let mut chunks = Fount::read(lines)
        .through(Lines::new(100, FinalLine::Error))
        .through(LineWriter::new(b"\n"));
    tokio::io::AsyncWriteExt::write_all(&mut sender, b"one\ntwo\nthr")
        .await
        .unwrap();
    assert_eq!(chunks.next().await.unwrap().unwrap(), "one\ntwo\n");
}
