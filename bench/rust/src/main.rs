//! The Rust row of the benchmark table: `server`, or `client PORT SERVER_PID SECONDS WORKLOADS`.
//!
//! The client prints one JSON line a workload; `bench/README.md` says what each one does.

mod meter;

use std::error::Error;
use std::time::Duration;

use futures_util::future::join_all;
use marotte::{Promise, Reference, Tub};
use meter::{Meter, rss_kib};
use serde_bytes::{ByteBuf, Bytes};

struct Bench;

#[marotte::remote]
impl Bench {
    fn null(&self) {}

    fn echo(&self, data: ByteBuf) -> ByteBuf {
        data
    }

    fn next(&self, _: i64) -> Reference {
        Reference::new(Self)
    }

    fn val(&self) -> i64 {
        4
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "server"] => serve().await,
        [_, "client", port, pid, seconds, workloads] => {
            let seconds = Duration::from_secs_f64(seconds.parse()?);
            client(port, pid.parse()?, seconds, workloads).await
        }
        _ => Err("usage: server | client PORT SERVER_PID SECONDS WORKLOAD,…".into()),
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let tub = Tub::new();
    let (listener, name) = if std::env::var_os("NOISE").is_some() {
        let listener = tub.listen_noise("127.0.0.1:0").await?;
        let name = format!("{}@", listener.location().designator);
        (listener, name)
    } else {
        (tub.listen_tcp("127.0.0.1:0").await?, String::new())
    };
    tub.register_reference(Bench, Some("bench"))?;
    println!(
        "READY {name}{}",
        listener.local_addr().expect("a port").port()
    );
    std::future::pending().await
}

async fn connect(port: &str) -> Result<(Tub, Reference), marotte::Error> {
    let tub = Tub::new();
    let (peer, port) = match port.split_once('@') {
        Some((name, port)) => (format!("{name}.noise"), port),
        None => ("bench.tcp-testing-only".to_owned(), port),
    };
    // "bench" in base64url.
    let uri = format!("ocapn://{peer}/s/YmVuY2g?host=127.0.0.1&port={port}");
    let bench = tub.get_reference(&uri).when().await?;
    Ok((tub, bench))
}

async fn null(bench: &Reference) -> Result<(), marotte::Error> {
    bench.send("null", &()).when().await
}

async fn client(
    port: &str,
    pid: u32,
    seconds: Duration,
    workloads: &str,
) -> Result<(), Box<dyn Error>> {
    let big = vec![7_u8; 65536];
    for workload in workloads.split(',') {
        let (_tub, bench) = connect(port).await?;
        let meter = Meter {
            workload,
            seconds,
            server: pid,
        };
        let echo = async || {
            let data: ByteBuf = bench.send("echo", &(Bytes::new(&big),)).when().await?;
            assert_eq!(data.len(), big.len());
            Ok(())
        };
        match workload {
            "seq" => {
                meter
                    .sequential(0, 500, async || null(&bench).await)
                    .await?
            }
            "win64" => meter.window(64, 0, async || null(&bench).await).await?,
            "burst1000" => {
                meter
                    .burst(1000, async || {
                        let calls = (0..1000).map(|_| null(&bench));
                        join_all(calls).await.into_iter().collect()
                    })
                    .await?;
            }
            "echo64k" => meter.sequential(65536, 50, echo).await?,
            "echo64k_w8" => meter.window(8, 65536, echo).await?,
            "chain" => {
                let chain = async || {
                    let mut at = bench.clone();
                    for step in 0..3_i64 {
                        at = at.send("next", &(step,)).when().await?;
                    }
                    at.send("val", &()).when::<i64>().await.map(|_| ())
                };
                meter.sequential(0, 20, chain).await?;
            }
            "chainp" => {
                let chain = async || {
                    let mut at = Promise::from(bench.clone());
                    for step in 0..3_i64 {
                        at = at.send("next", &(step,));
                    }
                    at.send("val", &()).when::<i64>().await.map(|_| ())
                };
                meter.sequential(0, 20, chain).await?;
            }
            "idle" => {
                let before = (rss_kib(pid), rss_kib(std::process::id()));
                let mut idle = Vec::new();
                for _ in 0..1000 {
                    let (tub, bench) = connect(port).await?;
                    null(&bench).await?;
                    idle.push((tub, bench));
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
                meter.idle(1000, before);
            }
            other => return Err(format!("no workload named {other:?}").into()),
        }
    }
    Ok(())
}
