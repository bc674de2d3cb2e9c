//! Where a program is reached.

/// Addresses of one program.
#[derive(Clone, Debug)]
pub struct Address {
    /// `http://…` or `https://…`.
    pub http: String,
    /// The socket of a gateway.
    pub socket: String,
    /// gRPC.
    pub grpc: String,
    /// `/healthz`, `/readyz`, `/metrics`.
    pub health: String,
}

impl Address {
    /// Of a program on this machine with these ports; health is always plain.
    pub fn new(tls: bool, http: u16, grpc: u16, health: u16) -> Self {
        let secure = if tls { "s" } else { "" };
        Self {
            http: format!("http{secure}://localhost:{http}"),
            socket: format!("ws{secure}://localhost:{http}/v1/ws"),
            grpc: format!("http{secure}://localhost:{grpc}"),
            health: format!("http://127.0.0.1:{health}"),
        }
    }
}
