//! `swfn-coordinator certs`: an authority, certificates signed by it, and a token, for a cluster
//! that has no authority of its own.

use std::{
    fs::{DirBuilder, File},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, bail};
use clap::{Args, value_parser};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::ServerName;
use swfn_shared::{
    access::{Identity, Token},
    files, problem,
    problem::OrProblem as _,
    quote::shell_word,
};
use time::{Duration, OffsetDateTime};

/// Largest difference between the clocks of a cluster.
const SKEW: Duration = Duration::hours(1);

/// The authority outlives its certificates, so that they can be renewed.
const AUTHORITY_DAYS: u16 = 3650;

/// Largest number of workers; more would be a mistake.
const MAX_WORKERS: u32 = 1000;

/// Permissions of keys and of the token.
const SECRET: u32 = 0o600;
/// Permissions of certificates.
const PUBLIC: u32 = 0o644;

#[derive(Debug, Args)]
pub struct CertsArguments {
    /// Write the files to this folder: ca.pem, server.pem, worker-NAME.pem, their keys in
    /// *-key.pem, and token
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Certify these names and addresses of the coordinator, under which workers reach it
    #[arg(long, value_name = "HOST,...", value_delimiter = ',', required = true)]
    #[arg(value_parser = parse_host)]
    hosts: Vec<String>,
    /// Make certificates for so many workers, or for workers with these names. Workers that share a
    /// certificate can act for each other
    #[arg(long, value_name = "N|NAME,...", default_value = "1")]
    workers: Workers,
    /// Sign with the authority in this folder of an earlier `certs`, and keep its token: to renew
    /// certificates, or for further workers. Certificates in use stay valid
    #[arg(long, value_name = "DIR")]
    authority: Option<PathBuf>,
    /// Let the certificates expire after so many days
    #[arg(long, value_name = "N", default_value_t = 365)]
    #[arg(value_parser = value_parser!(u16).range(1..=7300))]
    days: u16,
}

fn parse_host(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is neither a host name nor an IP address")),
    }
}

/// The names of the workers that get a certificate; they become names of files.
#[derive(Debug, Clone)]
struct Workers(Vec<String>);

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<String> = match text.parse() {
            Ok(count @ 1..=MAX_WORKERS) => {
                (1..=count).map(|number: u32| number.to_string()).collect()
            }
            Ok(count) => return Err(format!("`{count}` workers are not 1 to {MAX_WORKERS}")),
            Err(_) => text.split(',').map(str::to_owned).collect(),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
                return Err(format!(
                    "name `{name}` is not 1 to 64 letters, digits, dots and dashes"
                ));
            }
            if names[..index].contains(name) {
                return Err(format!("name `{name}` stands twice"));
            }
        }
        Ok(Self(names))
    }
}

/// A file that is to be written: its name, its text, its permissions.
type NewFile = (String, String, u32);

/// Writes all files, or none if one of them exists; returns the commands that use them.
pub fn run(arguments: &CertsArguments) -> anyhow::Result<String> {
    let CertsArguments { out, hosts, workers: Workers(workers), authority, days } = arguments;
    let trust = match authority {
        None => Trust::new(*days).context("cannot make an authority")?,
        Some(folder) => Trust::read(folder)?,
    };
    let new = make(trust, hosts, workers, *days).context("cannot make the certificates")?;
    let mut paths = new.iter().map(|(name, ..)| out.join(name));
    if let Some(path) = paths.find(|path| path.symlink_metadata().is_ok()) {
        bail!(problem!(
            "`{}` exists, and nothing is overwritten", path.display();
            "choose another folder with --out"
        ));
    }
    // Only the owner may look into it.
    let folder = DirBuilder::new().recursive(true).mode(0o700).create(out);
    folder.or_problem(
        || problem!("cannot create the folder `{}`", out.display(); "choose another with --out"),
    )?;
    if let Some(why) = files::open_to_others(out) {
        bail!(problem!(
            "`{}` is not safe for secrets: {why}", out.display();
            "chmod 700, or choose another folder with --out"
        ));
    }
    for (name, text, mode) in new {
        let path = out.join(name);
        let write = || {
            let mut file = File::options().write(true).create_new(true).mode(mode).open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(usage(out, &hosts[0], &workers[0]))
}

/// The secrets that a cluster shares.
struct Trust {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's certificate, as PEM.
    certificate: String,
    token: Token,
}

impl Trust {
    fn new(days: u16) -> anyhow::Result<Self> {
        let mut params = parameters("swfn authority", Vec::new(), days.max(AUTHORITY_DAYS))?;
        // It signs certificates of servers and workers, but no other authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate, token: Token::random() })
    }

    fn read(folder: &Path) -> anyhow::Result<Self> {
        let [certificate, key, token] =
            ["ca.pem", "ca-key.pem", "token"].map(|name| folder.join(name));
        let read = |path: &Path| {
            files::read_small(path, 1 << 20).or_problem(|| {
                problem!(
                    "cannot read `{}`", path.display();
                    "name a folder that `certs` made with --authority"
                )
            })
        };
        let (text, key_text) = (read(&certificate)?, read(&key)?);
        // Its errors are better than those of the next step.
        Identity::read(&certificate, &key)?;
        let issuer =
            KeyPair::from_pem(&key_text).and_then(|key| Issuer::from_ca_cert_pem(&text, key));
        let issuer = issuer.with_context(|| {
            format!("`{}` is not the certificate of an authority", certificate.display())
        })?;
        read(&token)?;
        let token = Token::find(Some(&token))?.context("no token")?;
        Ok(Self { issuer, certificate: text, token })
    }
}

fn make(
    trust: Trust,
    hosts: &[String],
    workers: &[String],
    days: u16,
) -> anyhow::Result<Vec<NewFile>> {
    let Trust { issuer, certificate, token } = trust;
    let mut files = Vec::new();
    let mut add = |name: String, text: String, mode| files.push((name, text, mode));
    let mut pair = |name: &str, certificate: String, key: String| {
        add(format!("{name}.pem"), certificate, PUBLIC);
        add(format!("{name}-key.pem"), key, SECRET);
    };
    pair("ca", certificate, issuer.key().serialize_pem());

    let mut leaf = |name: &str, title: &str, hosts: Vec<String>, usage| -> anyhow::Result<()> {
        let (mut params, key) = (parameters(title, hosts, days)?, KeyPair::generate()?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        pair(name, params.signed_by(&key, &issuer)?.pem(), key.serialize_pem());
        Ok(())
    };
    leaf("server", "swfn coordinator", hosts.to_vec(), ExtendedKeyUsagePurpose::ServerAuth)?;
    for worker in workers {
        let title = format!("swfn worker {worker}");
        leaf(&format!("worker-{worker}"), &title, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)?;
    }
    // Without an end of line: some tools send the file as it is.
    add("token".to_owned(), token.reveal().to_owned(), SECRET);
    Ok(files)
}

fn parameters(title: &str, hosts: Vec<String>, days: u16) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, title);
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - SKEW, now + Duration::days(days.into()));
    Ok(params)
}

fn usage(out: &Path, host: &str, worker: &str) -> String {
    let file = |name: &str| shell_word(&out.join(name).display().to_string());
    let (ca, token) = (file("ca.pem"), file("token"));
    let (server, server_key) = (file("server.pem"), file("server-key.pem"));
    let worker_key = file(&format!("worker-{worker}-key.pem"));
    let worker = file(&format!("worker-{worker}.pem"));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!(
        "# the coordinator; besides its grid it needs server.pem, server-key.pem, ca.pem and token
swfn-coordinator --grid grid.toml --listen 0.0.0.0:7077 --tls-cert {server} --tls-key {server_key} \
--tls-client-ca {ca} --token-file {token}
# a worker, each with its own certificate and key; it also needs ca.pem and token
swfn-worker --coordinator https://{host}:7077 --tls-ca {ca} --tls-cert {worker} \
--tls-key {worker_key} --token-file {token}
# ca-key.pem only signs further certificates: keep it elsewhere, or remove it
"
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use clap::Parser;
    use swfn_shared::access::Authorities;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        certs: CertsArguments,
    }

    fn arguments(out: &Path, more: &[&str]) -> Result<CertsArguments, String> {
        let out = out.display().to_string();
        let parsed = Program::try_parse_from([&["x", "--out", &out], more].concat());
        parsed.map(|program| program.certs).map_err(|error| error.to_string())
    }

    #[test]
    fn files_are_secret_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("pki");
        let arguments =
            arguments(&out, &["--hosts", "a.example,10.0.0.1,::1", "--workers", "ann,bob"])
                .unwrap();
        run(&arguments).unwrap();
        let mut names: Vec<_> = fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = "ca-key.pem ca.pem server-key.pem server.pem token worker-ann-key.pem worker-ann.pem \
                        worker-bob-key.pem worker-bob.pem";
        assert_eq!(names.join(" "), expected);
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o700);
        for name in &names {
            let mode = fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777;
            let secret = name == "token" || name.ends_with("-key.pem");
            assert!(if secret { mode == 0o600 } else { mode & 0o022 == 0 }, "{name} {mode:o}");
        }
        for name in ["ca", "server", "worker-ann", "worker-bob"] {
            Identity::read(&out.join(format!("{name}.pem")), &out.join(format!("{name}-key.pem")))
                .unwrap();
        }
        Authorities::read(&out.join("ca.pem"), "--tls-ca").unwrap();
        Token::find(Some(&out.join("token"))).unwrap().unwrap();

        let before: Vec<_> = names.iter().map(|name| fs::read(out.join(name)).unwrap()).collect();
        fs::remove_file(out.join("ca.pem")).unwrap();
        let refused = run(&arguments).unwrap_err().to_string();
        assert!(refused.contains("ca-key.pem` exists, and nothing is overwritten"), "{refused}");
        assert!(!out.join("ca.pem").exists(), "all or none");
        for (name, before) in names.iter().zip(before).skip(2) {
            assert_eq!(fs::read(out.join(name)).unwrap(), before, "{name}");
        }
    }

    #[test]
    fn the_printed_commands_fit_into_a_shell() {
        let text = usage(Path::new("/a b/it's"), "::1", "ann");
        assert!(text.contains("--tls-ca '/a b/it'\\''s/ca.pem'"), "{text}");
        assert!(text.contains("--coordinator https://[::1]:7077 "), "{text}");
        assert!(text.contains("worker-ann.pem'"), "{text}");
    }

    #[test]
    fn wrong_names_are_refused() {
        let refused = |more: &[&str]| arguments(Path::new("x"), more).unwrap_err();
        for host in ["", "a b", "*", "a/b", "http://a"] {
            assert!(
                refused(&["--hosts", host]).contains("neither a host name nor an IP address"),
                "{host}"
            );
        }
        for (workers, problem) in [
            ("0", "`0` workers"),
            ("5000", "not 1 to 1000"),
            ("a,../b", "name `../b`"),
            ("a,a", "twice"),
            ("", "name ``"),
        ] {
            assert!(
                refused(&["--hosts", "a", "--workers", workers]).contains(problem),
                "{workers}"
            );
        }
        assert_eq!(
            arguments(Path::new("x"), &["--hosts", "a", "--workers", "3"]).unwrap().workers.0,
            ["1", "2", "3"]
        );
    }
}
