//! Whom requests trust, and who they say that they are.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};

use swfn_shared::{problem, problem::Problem};

use crate::proxies::Variable;

/// Variables that name the authorities to trust for other programs that people use beside this one, before `SSL_CERT_FILE`.
const BUNDLES: [&str; 2] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// The variables that name certificates for one kind of server, beside those that count for all: `SSL_CERT_FILE` and the like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Certificates {
    /// Names a file or a folder with the authorities that are trusted, and no others.
    pub authorities: Option<&'static str>,
    /// Names a PEM file with a certificate of our own and its key.
    pub identity: Option<&'static str>,
}

impl Certificates {
    /// What to say where a certificate is not trusted.
    pub(crate) fn hint(self) -> String {
        let own = self.authorities.map_or(String::new(), |name| format!("{name} or "));
        format!("name a file with the certificate of its authority in {own}SSL_CERT_FILE")
    }

    pub(crate) fn read(self, variable: Variable<'_>) -> Result<TlsConfig, Problem> {
        let file = |name: Option<&'static str>| Some((name?, PathBuf::from(variable(name?)?)));
        let roots =
            match self.authorities.into_iter().chain(BUNDLES).find_map(|name| file(Some(name))) {
                Some((name, path)) => {
                    let (file, folder) =
                        if path.is_dir() { (None, Some(&*path)) } else { (Some(&*path), None) };
                    let read = load_certs_from_paths(file, folder);
                    let problem =
                        read.errors.first().map_or("it has none".to_owned(), ToString::to_string);
                    Some(read.certs)
                        .filter(|roots| !roots.is_empty())
                        .ok_or_else(|| unreadable(AUTHORITIES, name, &path, &problem))?
                }
                None => {
                    let read = load_native_certs();
                    let named = variable("SSL_CERT_FILE").map(PathBuf::from);
                    match (named, read.errors.first()) {
                        (Some(path), Some(error)) if read.certs.is_empty() => {
                            return Err(unreadable(
                                AUTHORITIES,
                                "SSL_CERT_FILE",
                                &path,
                                &error.to_string(),
                            ));
                        }
                        _ => read.certs,
                    }
                }
            };
        // A machine without any store of its own, such as a container, trusts those whom browsers trust.
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

const AUTHORITIES: &str = "certificates of authorities";

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
        // What a reader says of a key may quote it.
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
    fn files_are_read_and_what_is_wrong_with_them_is_named() {
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
