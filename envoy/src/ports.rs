//! Ports without fights: everything binds port 0 and says what it got; here is what port 0 cannot give.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// A port that belongs to us and refuses every connection, because nothing listens on it.
#[derive(Debug)]
pub struct RefusingPort {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl RefusingPort {
    /// Takes any free port of the loopback interface.
    pub fn any() -> io::Result<Self> {
        Self::at(any_loopback())
    }

    /// Keeps `address` taken beside a server of [`listen`], which means to close and to listen there again.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = bound(address)?;
        Ok(Self { address: socket.local_addr()?, _socket: socket })
    }

    /// The port with its interface.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// `127.0.0.1:0`: the kernel chooses.
pub fn any_loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Listens on `address`, also when connections of an earlier listener linger there.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bound(address)?.listen(1024)
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // A second socket can take over before the first is closed, so that no outgoing connection gets the port between them.
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}
