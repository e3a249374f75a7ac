//! Frames on the socket between parent and worker: a length, that many bytes of bincode, and with the
//! length any file descriptors.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// File descriptors that one frame can carry.
pub const MOST_FILES: usize = 64;

/// Bytes that one frame can hold.
const MOST_BYTES: usize = 16 << 20;

/// Sends `message` with `files`.
///
/// # Errors
/// When the other side is gone, or the message or its files are more than a frame takes.
pub fn send(socket: &UnixStream, message: &impl Serialize, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let body =
        bincode::serde::encode_to_vec(message, bincode::config::standard()).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length as usize <= MOST_BYTES);
    let length = length.ok_or_else(|| io::Error::other("the message is too long for a frame"))?.to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other(format!("{} files are too many for a frame", files.len())));
    }
    let sent = sendmsg(socket, &[IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL)?;
    let mut socket = socket;
    socket.write_all(&length[sent..])?;
    socket.write_all(&body)
}

/// Receives a message and its files; `None` once the other side has closed.
///
/// # Errors
/// When the connection breaks inside a frame, times out, or brings no such message.
pub fn receive<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut length)], &mut ancillary, flags)?.bytes;
    if got == 0 {
        return Ok(None);
    }
    let mut files = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            files.extend(received);
        }
    }
    let mut socket = socket;
    socket.read_exact(&mut length[got..])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    let config = bincode::config::standard().with_limit::<MOST_BYTES>();
    let (message, read) = bincode::serde::decode_from_slice(&body, config)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if read != length {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the message"));
    }
    Ok(Some((message, files)))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_message_arrives_with_its_files() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"sound").unwrap();
        file.rewind().unwrap();
        send(&here, &"job".to_owned(), &[file.as_fd()]).unwrap();
        let (message, mut files): (String, _) = receive(&there).unwrap().unwrap();
        let mut text = String::new();
        std::fs::File::from(files.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!((message.as_str(), text.as_str(), files.len()), ("job", "sound", 0));
    }

    #[test]
    fn a_closed_socket_ends_and_a_cut_frame_is_an_error() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert!(receive::<String>(&there).unwrap().is_none());
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&[9, 0, 0, 0, 1]).unwrap();
        drop(here);
        assert!(receive::<String>(&there).is_err());
    }

    #[test]
    fn a_frame_that_claims_gigabytes_is_refused() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(receive::<String>(&there).is_err());
    }
}
