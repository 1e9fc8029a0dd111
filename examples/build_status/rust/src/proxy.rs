//! A pipe between two sockets that holds every byte back for a while, as a long wire does.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Most chunks on the wire at once; a faster sender has to wait.
const IN_FLIGHT: usize = 4096;

/// Accepts for ever; what arrives goes to `target` after `delay`, and the answers likewise.
pub(crate) async fn run(listener: TcpListener, target: String, delay: Duration) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => {
                let target = target.clone();
                tokio::spawn(async move {
                    if let Err(error) = connect(near, &target, delay).await {
                        eprintln!("delay-proxy: cannot reach {target}: {error}");
                    }
                });
            }
            Err(error) => {
                eprintln!("delay-proxy: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn connect(near: TcpStream, target: &str, delay: Duration) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    // The delay must not grow by waiting for acknowledgements.
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    pipe(near_read, far_write, delay);
    pipe(far_read, near_write, delay);
    Ok(())
}

/// Moves bytes one way. Reading and writing are apart, so that the delay is the same for every byte
/// however many are under way.
fn pipe(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (wire, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 << 10];
        loop {
            // The end travels like everything else, as an empty chunk.
            let count = from.read(&mut buffer).await.unwrap_or(0);
            let sent = wire
                .send((Instant::now() + delay, buffer[..count].to_vec()))
                .await;
            if count == 0 || sent.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, chunk)) = arriving.recv().await {
            sleep_until(due).await;
            if chunk.is_empty() || to.write_all(&chunk).await.is_err() {
                break;
            }
        }
        // Dropping the half would do the same, but only if the other half is dropped as well.
        let _ = to.shutdown().await;
    });
}
