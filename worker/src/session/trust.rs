//! Why a connection failed, where it was a matter of trust: another attempt would end the same.

use std::{error::Error, io};

use rustls::{AlertDescription, Error as TlsError};

/// The reason with what to do about it; `None` for failures that may pass.
pub(super) fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    match tls_error(error)? {
        problem @ TlsError::InvalidCertificate(_) => Some(format!(
            "the coordinator's certificate is not trusted: {problem}\n\
             hint: --tls-ca names the authority that has signed it, and the URL a host that it names"
        )),
        TlsError::AlertReceived(alert) if is_about_certificates(*alert) => Some(format!(
            "the coordinator does not accept this worker's certificate, or misses it: {alert:?}\n\
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

/// What TLS said, wherever it stands in the chain: input and output errors have it inside, and not as their source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(tls) = tls_error(inner)
        {
            return Some(tls);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn matters_of_trust_are_told_from_what_may_pass() {
        let inside = |error: TlsError| io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        let reason = |error: TlsError| distrust(&inside(error));
        let unknown = reason(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)).unwrap();
        assert!(unknown.contains("not trusted") && unknown.contains("hint: --tls-ca"), "{unknown}");
        let required = reason(TlsError::AlertReceived(AlertDescription::CertificateRequired)).unwrap();
        assert!(required.contains("CertificateRequired") && required.contains("hint: --tls-cert"), "{required}");
        assert_eq!(reason(TlsError::AlertReceived(AlertDescription::InternalError)), None);
        assert_eq!(distrust(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }
}
