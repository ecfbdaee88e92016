//! The authorities that requests trust, and our own certificate.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};

use swfn_shared::{problem, problem::Problem};

use crate::proxies::Variable;

/// Variables of other programs that name trusted authorities. They go before `SSL_CERT_FILE`.
const BUNDLES: [&str; 2] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// Variables that name certificates for one kind of server, beside those for all servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Certificates {
    /// The variable for a file or a folder with the only trusted authorities.
    pub authorities: Option<&'static str>,
    /// The variable for a PEM file with our own certificate and its key.
    pub identity: Option<&'static str>,
}

impl Certificates {
    /// The hint for a certificate that is not trusted.
    pub(crate) fn hint(self) -> String {
        let own = self.authorities.map_or(String::new(), |name| format!("{name} or "));
        format!("name a file with the certificate of its authority in {own}SSL_CERT_FILE")
    }

    pub(crate) fn read(self, variable: Variable<'_>) -> Result<TlsConfig, Problem> {
        let file = |name: Option<&'static str>| Some((name?, PathBuf::from(variable(name?)?)));
        let mut named =
            self.authorities.into_iter().chain(BUNDLES).find_map(|name| file(Some(name)));
        let read = match &named {
            Some((_, path)) if path.is_dir() => load_certs_from_paths(None, Some(path)),
            Some((_, path)) => load_certs_from_paths(Some(path), None),
            None => {
                named = file(Some("SSL_CERT_FILE"));
                load_native_certs()
            }
        };
        let roots = read.certs;
        if let (true, Some((name, path))) = (roots.is_empty(), &named) {
            let why = read.errors.first().map_or("it has none".to_owned(), ToString::to_string);
            return Err(unreadable("certificates of authorities", name, path, &why));
        }
        // A machine without certificates, such as a container, trusts the authorities of browsers.
        let roots = match roots.is_empty() {
            true => RootCerts::WebPki,
            false => RootCerts::Specific(Arc::new(
                roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect(),
            )),
        };
        let identity = file(self.identity).map(|(name, path)| identity(name, path)).transpose()?;
        Ok(TlsConfig::builder().root_certs(roots).client_cert(identity).build())
    }
}

fn unreadable(what: &str, variable: &str, path: &Path, why: &str) -> Problem {
    problem!(
        "cannot read {what} from `{}`, which {variable} names: {why}", path.display();
        "name a PEM file"
    )
}

/// The certificates and the key in a file.
fn identity(variable: &'static str, path: PathBuf) -> Result<ClientCert, Problem> {
    let wrong = |why: String| unreadable("certificate and key", variable, &path, &why);
    let text = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
    let (mut chain, mut key) = (Vec::new(), None);
    for item in parse_pem(&text) {
        // The parser's error may quote the key.
        match item.map_err(|_| wrong("it cannot be parsed".to_owned()))? {
            PemItem::Certificate(certificate) => chain.push(certificate),
            PemItem::PrivateKey(found) => key = Some(found),
            _ => {}
        }
    }
    match key {
        Some(key) if !chain.is_empty() => Ok(ClientCert::new_with_certs(&chain, key)),
        Some(_) => Err(wrong("it has no certificate".to_owned())),
        None => Err(wrong("it has no private key".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn errors_name_the_variable_of_a_file() {
        const OF: Certificates =
            Certificates { authorities: Some("AUTHORITIES"), identity: Some("IDENTITY") };
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec!["host".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap()
            .pem();
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let certificate = file("c.pem", signed.clone());
        let both = file("both.pem", signed + &key.serialize_pem());
        let only_key = file("k.pem", key.serialize_pem());
        let read = |authorities: &str, identity: &str| {
            let of = |name: &str| match name {
                "AUTHORITIES" => Some(authorities.to_owned()).filter(|text| !text.is_empty()),
                "IDENTITY" => Some(identity.to_owned()).filter(|text| !text.is_empty()),
                _ => None,
            };
            OF.read(&of).map_err(|error| error.to_string())
        };
        let bundle = |name: &str| (name == "CURL_CA_BUNDLE").then(|| certificate.clone());
        let config = Certificates::default().read(&bundle).unwrap();
        assert!(matches!(config.root_certs(), RootCerts::Specific(roots) if roots.len() == 1));
        let config = read(&certificate, &both).unwrap();
        assert!(matches!(config.root_certs(), RootCerts::Specific(roots) if roots.len() == 1));
        assert!(config.client_cert().is_some());
        assert!(read("", "").unwrap().client_cert().is_none());
        for (authorities, identity, expected) in [
            ("/no/such/file", "", "`/no/such/file`, which AUTHORITIES names"),
            (&*only_key, "", "which AUTHORITIES names: it has none"),
            ("", &*certificate, "which IDENTITY names: it has no private key"),
            ("", &*only_key, "which IDENTITY names: it has no certificate"),
            ("", "/no/such/file", "`/no/such/file`, which IDENTITY names"),
        ] {
            let problem = read(authorities, identity).unwrap_err();
            assert!(problem.contains(expected) && problem.contains("\nhint: "), "{problem}");
        }
    }
}
