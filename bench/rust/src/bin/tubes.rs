//! Tubes beside boxed streams and bare slicing: prints a JSON line a case, in units per CPU-second.

use std::hint::black_box;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use marotte::tube::framing::{FinalLine, LineWriter, Lines};
use marotte::tube::{Error, Fount, Tube, receiver};

/// CPU time of this process, in seconds.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn report(case: &str, unit: &str, units: u64, mut work: impl FnMut(u64)) {
    work(units / 20);
    let began = cpu();
    work(units);
    let rate = units as f64 / (cpu() - began);
    println!(r#"{{"case": "{case}", "unit": "{unit}", "rate": {rate:.0}}}"#);
}

type Boxed<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

fn boxed_streams(count: u64) -> Boxed<u64> {
    let mut stream: Boxed<u64> = Box::pin(stream::iter(0..count));
    for _ in 0..5 {
        stream = Box::pin(stream.map(|n| black_box(n) + 1));
    }
    stream
}

fn boxed_founts(count: u64) -> Fount<Boxed<Result<u64, Error>>> {
    let mut fount = Fount::new(stream::iter(0..count)).boxed();
    for _ in 0..5 {
        fount = fount
            .through(receiver(|n: u64| Some(black_box(n) + 1)))
            .boxed();
    }
    fount
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    report(
        "boxed futures streams, map+1 x5",
        "items",
        10_000_000,
        |count| {
            let sum = runtime.block_on(
                boxed_streams(count).fold(0, |sum: u64, n| async move { sum.wrapping_add(n) }),
            );
            black_box(sum);
        },
    );
    report("boxed founts, map+1 x5", "items", 10_000_000, |count| {
        let sum = runtime.block_on(boxed_founts(count).fold(0, |sum: u64, n| async move {
            sum.wrapping_add(n.unwrap_or_default())
        }));
        black_box(sum);
    });
    report(
        "tubes as one type, map+1 x5",
        "items",
        40_000_000,
        |count| {
            let inc = || receiver(|n: u64| Some(black_box(n) + 1));
            let tubes = inc().then(inc()).then(inc()).then(inc()).then(inc());
            let fount = Fount::new(stream::iter(0..count)).through(tubes);
            let sum = runtime.block_on(fount.fold(0, |sum: u64, n| async move {
                sum.wrapping_add(n.unwrap_or_default())
            }));
            black_box(sum);
        },
    );
    let mut line = vec![b'x'; 78];
    line.extend_from_slice(b"\r\n");
    let chunk = Bytes::from(line.repeat(65_536 / 80));
    report(
        "memchr slicing, 80-byte lines",
        "bytes",
        2_000_000_000,
        |total| {
            for _ in 0..total / chunk.len() as u64 {
                let mut start = 0;
                for end in memchr::memchr_iter(b'\n', &chunk) {
                    black_box(chunk.slice(start..end - 1));
                    start = end + 1;
                }
            }
        },
    );
    report("Lines, 80-byte lines", "bytes", 2_000_000_000, |total| {
        let mut lines = Lines::new(1000, FinalLine::Error);
        for _ in 0..total / chunk.len() as u64 {
            if lines.received(chunk.clone()).is_err() {
                return;
            }
            while let Ok(Some(line)) = lines.next() {
                black_box(line);
            }
        }
    });
    report(
        "Lines and LineWriter, 80-byte lines",
        "bytes",
        1_000_000_000,
        |total| {
            let mut tubes = Lines::new(1000, FinalLine::Error).then(LineWriter::new(b"\r\n"));
            for _ in 0..total / chunk.len() as u64 {
                if tubes.received(chunk.clone()).is_err() {
                    return;
                }
                while let Ok(Some(out)) = tubes.next() {
                    black_box(out);
                }
            }
        },
    );
    Ok(())
}
