//! Requests without TLS by way of an HTTP proxy, which gets the whole address in the first line.
//! ureq would ask for a tunnel, but most proxies allow tunnels to port 443 alone.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ureq::{
    Error, ProxyProtocol,
    unversioned::transport::{
        Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
    },
};

/// Connects to the proxy, if there is one, instead of a server without TLS.
#[derive(Debug, Default)]
pub(crate) struct ForwardConnector(TcpConnector);

impl Connector for ForwardConnector {
    type Out = Forward;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Forward>, Error> {
        let proxy = details
            .config
            .proxy()
            .filter(|proxy| proxy.protocol() == ProxyProtocol::Http && !details.needs_tls());
        let (Some(proxy), Some(authority)) = (proxy, details.uri.authority()) else {
            return Ok(None);
        };
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs: details.resolver.resolve(proxy.uri(), details.config, details.timeout)?,
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let Some(socket) = Connector::<()>::connect(&self.0, &to_proxy, None)? else {
            return Ok(None);
        };
        let credentials = proxy.username().map_or(String::new(), |name| {
            let credentials = format!("{name}:{}", proxy.password().unwrap_or_default());
            format!("proxy-authorization: Basic {}\r\n", BASE64_STANDARD.encode(credentials))
        });
        let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
        let server = Some(format!("http://{host}"));
        Ok(Some(Forward { socket: Box::new(socket), server, credentials }))
    }
}

/// A connection to a proxy, for one request.
pub(crate) struct Forward {
    socket: Box<dyn Transport>,
    /// The text before the path in the first line; `None` after that line.
    server: Option<String>,
    /// A header with user and password; may be empty.
    credentials: String,
}

impl fmt::Debug for Forward {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Forward")
    }
}

/// The head of a request in the form for a proxy.
fn for_proxy(head: &[u8], server: &str, credentials: &str) -> Option<Vec<u8>> {
    let path = 1 + head.iter().position(|byte| *byte == b' ')?;
    let headers = 2 + head.windows(2).position(|pair| pair == b"\r\n")?;
    let (server, credentials) = (server.as_bytes(), credentials.as_bytes());
    Some([&head[..path], server, &head[path..headers], credentials, &head[headers..]].concat())
}

impl Transport for Forward {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.socket.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let Some(server) = self.server.take() else {
            return self.socket.transmit_output(amount, timeout);
        };
        let output = self.socket.buffers().output();
        let too_long =
            || Error::ConnectProxyFailed("the head of the request is too long".to_owned());
        let text = for_proxy(&output[..amount], &server, &self.credentials).ok_or_else(too_long)?;
        output.get_mut(..text.len()).ok_or_else(too_long)?.copy_from_slice(&text);
        self.socket.transmit_output(text.len(), timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.socket.await_input(timeout)
    }

    /// The next request needs a first line of its own.
    fn is_open(&mut self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_has_the_whole_address() {
        let head = b"POST /a?b=c HTTP/1.1\r\nhost: x\r\n\r\nbody\r\n";
        let text = for_proxy(head, "http://x:5000", "proxy-authorization: Basic eA==\r\n").unwrap();
        let expected = "POST http://x:5000/a?b=c HTTP/1.1\r\nproxy-authorization: Basic eA==\r\nhost: x\r\n\r\nbody\r\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        assert_eq!(for_proxy(b"POST", "", ""), None);
    }
}
