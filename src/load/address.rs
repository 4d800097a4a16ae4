//! `--to`: which target, and how a PostgreSQL server is reached.
//!
//! A flag never takes a secret: a URL with a password is refused there, and
//! taken from a variable (`--to env:DATABASE_URL`). Else the password comes from
//! PGPASSWORD or the password file, and what the URL leaves open from the other
//! PG* variables, as libpq has them.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::error::{Error, Result};

/// Where to load to.
#[derive(Debug)]
pub(crate) enum Address {
    /// A DuckDB file.
    Duckdb(PathBuf),
    Postgres(Box<Config>),
}

impl Address {
    pub(crate) fn parse(flag: &str) -> Result<Address> {
        let (text, typed) = match flag.strip_prefix("env:") {
            None => (flag.to_string(), true),
            Some(name) => match std::env::var(name) {
                Ok(value) => (value, false),
                Err(_) => return Err(Error::usage(format!("--to {flag}: the variable {name} is not set"))),
            },
        };
        if let Some(file) = text.strip_prefix("duckdb:").filter(|f| !f.is_empty()) {
            return Ok(Address::Duckdb(PathBuf::from(file.strip_prefix("//").unwrap_or(file))));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Address::Postgres(Box::new(postgres(&text, typed, &|name| std::env::var(name).ok())?)));
        }
        Err(Error::usage("--to is no target that can be loaded")
            .hint("such as duckdb:openai.duckdb or postgres://user@host/database; for other warehouses see `openai-elt schema --help`"))
    }

    /// For people: without a password.
    pub(crate) fn shown(&self) -> String {
        match self {
            Address::Duckdb(file) => format!("duckdb:{}", file.display()),
            Address::Postgres(config) => {
                let host = match config.get_hosts().first() {
                    Some(Host::Tcp(host)) if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
                    Some(Host::Tcp(host)) => host.clone(),
                    Some(Host::Unix(path)) => path.display().to_string(),
                    None => String::new(),
                };
                let port = config.get_ports().first().copied().unwrap_or(5432);
                format!("postgres://{host}:{port}/{}", config.get_dbname().unwrap_or_default())
            }
        }
    }
}

fn postgres(text: &str, typed: bool, variable: &dyn Fn(&str) -> Option<String>) -> Result<Config> {
    // The URL is not repeated in messages: it may hold a password.
    let wrong = |why: &str| {
        Error::usage(format!("the PostgreSQL URL {why}")).hint("such as postgres://user@host:5432/database")
    };
    let mut url = url::Url::parse(text).map_err(|e| wrong(&format!("cannot be read: {e}")))?;
    let in_query = url.query_pairs().any(|(name, _)| name == "password");
    if typed && (url.password().is_some() || in_query) {
        return Err(wrong("has a password, and a flag never takes one").rather(
            "put the password into PGPASSWORD or ~/.pgpass, or the whole URL into a variable and say --to env:NAME",
        ));
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mode = pairs.iter().find(|(name, _)| name == "sslmode").map(|(_, mode)| mode.clone());
    url.set_query(None);
    for (name, value) in pairs.iter().filter(|(name, _)| name != "sslmode") {
        url.query_pairs_mut().append_pair(name, value);
    }
    // A host without a port has 5432 as soon as it is parsed.
    let in_query = pairs.iter().any(|(name, _)| name == "port");
    if let (Some(_), None, false, Some(port)) = (url.host_str(), url.port(), in_query, port_of(variable)?) {
        url.set_port(Some(port)).map_err(|()| wrong("takes no port"))?;
    }
    let mut config = Config::from_str(url.as_str()).map_err(|e| wrong(&format!("cannot be read: {e}")))?;
    open_parts(&mut config, variable)?;
    let mode = mode.or_else(|| variable("PGSSLMODE"));
    config.ssl_mode(match (mode.as_deref(), is_local(&config)) {
        (Some("disable"), _) | (None, true) => SslMode::Disable,
        (None | Some("prefer" | "require" | "verify-ca" | "verify-full"), _) => SslMode::Require,
        (Some(other), _) => {
            return Err(wrong(&format!("has an unknown sslmode {other:?}")).rather("disable, or require"));
        }
    });
    config.application_name("openai-elt");
    Ok(config)
}

/// What the URL leaves open.
fn open_parts(config: &mut Config, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    if config.get_hosts().is_empty() {
        config.host(variable("PGHOST").unwrap_or_else(|| "127.0.0.1".to_string()));
    }
    if config.get_ports().is_empty() {
        config.port(port_of(variable)?.unwrap_or(5432));
    }
    if config.get_user().is_none() {
        let user = variable("PGUSER").or_else(|| variable("USER"));
        config.user(
            user.ok_or_else(|| Error::usage("no user is given").hint("postgres://user@host/database, or PGUSER"))?,
        );
    }
    if config.get_dbname().is_none() {
        let name = variable("PGDATABASE").or_else(|| config.get_user().map(str::to_string));
        config.dbname(name.unwrap_or_default());
    }
    if config.get_password().is_none() {
        let password = variable("PGPASSWORD").map_or_else(|| password_file(config, variable), |p| Ok(Some(p)));
        if let Some(password) = password? {
            config.password(password);
        }
    }
    Ok(())
}

fn port_of(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<u16>> {
    let port = variable("PGPORT").filter(|port| !port.trim().is_empty()).map(|port| port.trim().parse::<u16>());
    port.transpose().map_err(|_| Error::usage("PGPORT is not a port").hint("a number up to 65535, such as 5432"))
}

/// Loopback and sockets: nobody listens there.
fn is_local(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    })
}

fn password_file(config: &Config, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>> {
    let named = variable("PGPASSFILE").map(PathBuf::from);
    let Some(path) = named.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".pgpass"))) else { return Ok(None) };
    let Ok(meta) = std::fs::metadata(&path) else { return Ok(None) };
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(Error::usage(format!("{}: others may read this password file", path.display()))
            .hint(format!("chmod 600 {}", path.display())));
    }
    let text = std::fs::read_to_string(&path).map_err(|e| Error::usage(format!("{}: {e}", path.display())))?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        _ => "localhost".to_string(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let wanted = [&host, &port, config.get_dbname().unwrap_or_default(), config.get_user().unwrap_or_default()];
    Ok(text.lines().filter(|line| !line.starts_with('#')).find_map(|line| password_of(line, &wanted)))
}

/// `host:port:database:user:password`, where `*` is any and `\` takes the next character as it is.
fn password_of(line: &str, wanted: &[&str; 4]) -> Option<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.last_mut()?.extend(characters.next()),
            c => fields.last_mut()?.push(c),
        }
    }
    let fits = fields.len() == 5 && fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
    fits.then(|| fields.pop()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_password_is_taken_from_anywhere_but_the_flag() {
        assert!(postgres("postgres://ada:secret@db/x", true, &none).is_err());
        assert!(postgres("postgres://ada@db/x?password=secret", true, &none).is_err());
        let config = postgres("postgres://ada:secret@db/x", false, &none).unwrap();
        assert_eq!(config.get_password(), Some(b"secret".as_slice()));
        let variable = |name: &str| (name == "PGPASSWORD").then(|| "secret".to_string());
        let config = postgres("postgres://ada@db/x", true, &variable).unwrap();
        assert_eq!(config.get_password(), Some(b"secret".as_slice()));
    }

    #[test]
    fn plain_text_stays_on_this_machine() {
        let mode = |url: &str| postgres(url, true, &none).unwrap().get_ssl_mode();
        assert_eq!(mode("postgres://ada@db.example/x"), SslMode::Require);
        assert_eq!(mode("postgres://ada@db.example/x?sslmode=prefer"), SslMode::Require);
        assert_eq!(mode("postgres://ada@db.example/x?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://ada@127.0.0.1/x"), SslMode::Disable);
        assert_eq!(mode("postgres://ada@localhost/x?sslmode=verify-full"), SslMode::Require);
        assert!(postgres("postgres://ada@db/x?sslmode=maybe", true, &none).is_err());
    }

    #[test]
    fn a_password_file_is_read_by_its_rules() {
        let wanted = ["db", "5432", "x", "ada"];
        assert_eq!(password_of("*:*:*:ada:a\\:b:c", &wanted), Some("a:b:c".to_string()));
        assert_eq!(password_of("db:5432:x:ada:p", &wanted), Some("p".to_string()));
        assert_eq!(password_of("db:5432:y:ada:p", &wanted), None);
        assert_eq!(password_of("no password", &wanted), None);
    }
}
