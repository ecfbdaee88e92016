//! Whether a failed connection was a matter of trust, so that another attempt would end the same. What TLS has to say is mostly lost
//! behind "transport error", and with TLS 1.3 it is said only after the handshake; so a bare connection is made to hear it.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error as TlsError, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tonic::transport::Uri;

use super::address::Access;

/// For each step. A coordinator that does not object says nothing, so all of it passes.
const PATIENCE: Duration = Duration::from_secs(2);

/// How an HTTP/2 connection begins. Who speaks TLS takes it for a broken record.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS alert.
const ALERT: u8 = 21;

/// How to ask a coordinator.
#[derive(Debug, Clone)]
pub(super) enum Probe {
    Plain,
    Tls(Arc<ClientConfig>),
}

impl Probe {
    /// The same terms as those of the real connection.
    pub(super) fn tls(access: &Access) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in access.authorities.iter().flat_map(|authorities| certificates(authorities.pem())) {
            roots.add(certificate?)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let mut config = match &access.identity {
            Some(identity) => {
                let chain = certificates(identity.certificate_pem()).collect::<Result<_, _>>()?;
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes())?)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.push(b"h2".to_vec());
        Ok(Self::Tls(Arc::new(config)))
    }

    /// Why the coordinator and this worker do not trust each other; `None` when that is not the problem.
    pub(super) async fn ask(self, uri: &Uri) -> Option<String> {
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if matches!(self, Self::Plain) { 80 } else { 443 });
        tokio::task::spawn_blocking(move || self.ask_now(&host, port)).await.ok()?
    }

    fn ask_now(&self, host: &str, port: u16) -> Option<String> {
        let stream = connect(host, port).ok()?;
        match self {
            Self::Plain => speaks_tls(stream)
                .unwrap_or(false)
                .then(|| "the coordinator speaks TLS\nhint: use an https:// address, with --tls-ca".to_owned()),
            Self::Tls(config) => {
                let name = ServerName::try_from(host.to_owned()).ok()?;
                let connection = ClientConnection::new(Arc::clone(config), name).ok()?;
                // A byte that comes is nothing to object to.
                let heard = StreamOwned::new(connection, stream).read(&mut [0]);
                heard.err().and_then(|error| distrust(&error))
            }
        }
    }
}

fn certificates(pem: &str) -> impl Iterator<Item = Result<CertificateDer<'static>, rustls::pki_types::pem::Error>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = ErrorKind::AddrNotAvailable.into();
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn speaks_tls(mut stream: TcpStream) -> io::Result<bool> {
    stream.write_all(PREFACE)?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    Ok(first[0] == ALERT)
}

/// The reason with what to do about it.
fn distrust(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref()? {
        problem @ TlsError::InvalidCertificate(_) => Some(format!(
            "the coordinator's certificate is not trusted: {problem}\n\
             hint: --tls-ca names the authority that has signed it, and the URL a host that it names"
        )),
        TlsError::AlertReceived(alert) if is_about_certificates(*alert) => Some(format!(
            "the coordinator misses this worker's certificate, or does not trust it: {alert:?}\n\
             hint: --tls-cert and --tls-key name one that the coordinator's --tls-client-ca has signed"
        )),
        TlsError::InvalidMessage(_) => Some(
            "the coordinator does not speak TLS\nhint: use an http:// address, or start the coordinator with --tls-cert"
                .to_owned(),
        ),
        _ => None,
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied
    )
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn matters_of_trust_are_told_from_what_may_pass() {
        let reason = |error: TlsError| distrust(&io::Error::new(ErrorKind::InvalidData, error));
        let unknown = reason(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)).unwrap();
        assert!(unknown.contains("not trusted") && unknown.contains("hint: --tls-ca"), "{unknown}");
        let required = reason(TlsError::AlertReceived(AlertDescription::CertificateRequired)).unwrap();
        assert!(required.contains("CertificateRequired") && required.contains("hint: --tls-cert"), "{required}");
        assert_eq!(reason(TlsError::AlertReceived(AlertDescription::InternalError)), None);
        assert_eq!(distrust(&ErrorKind::ConnectionRefused.into()), None);
    }
}
