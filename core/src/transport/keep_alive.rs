//! Noticing that a peer's machine, or the way there, is gone.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Has the operating system end a TCP connection whose other end has not been heard of for so long: it asks
/// when nothing is said (three times in the last third), and gives up on what is not acknowledged. The
/// peer's program need not answer, its machine must; but what the machine cannot take, because its program
/// does not read, counts as not acknowledged (so Linux has it). 0 leaves it to the system, which may take
/// hours.
///
/// A failure is not reported: without this a connection works as well, but for its end.
pub fn keep_alive(socket: &impl AsFd, silence_ms: u64) {
    if silence_ms == 0 {
        return;
    }
    // The system counts whole seconds.
    let silence = Duration::from_millis(silence_ms).max(Duration::from_secs(3));
    let (wait, interval) = (silence * 2 / 3, silence / 9);
    let whole = |time: Duration| Duration::from_secs(time.as_secs().max(1));
    let how = TcpKeepalive::new()
        .with_time(whole(wait))
        .with_interval(whole(interval))
        .with_retries(3);
    let socket = SockRef::from(socket);
    let _ = socket.set_tcp_keepalive(&how);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(silence));
}
