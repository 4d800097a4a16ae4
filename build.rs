//! Embeds every table file of `schemas/` into the binary.
//!
//! Writes `tables.rs` into `OUT_DIR`: a slice of (surface, table, path, text).
//! A directory walk here, and not a crate that embeds folders, because Cargo
//! then notices added and removed files as well as changed ones.

use std::{env, fmt::Write as _, fs, io, path::Path};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=schemas");
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let mut code = String::from("pub(crate) const EMBEDDED: &[(&str, &str, &str, &str)] = &[\n");
    for surface in sorted(&Path::new(&root).join("schemas"))? {
        if !surface.is_dir() {
            continue;
        }
        for file in sorted(&surface)? {
            if file.extension().is_none_or(|e| e != "toml") {
                continue;
            }
            let surface = name(surface.file_name());
            let table = name(file.file_stem());
            let _ = writeln!(
                code,
                "    ({surface:?}, {table:?}, \"schemas/{surface}/{table}.toml\", include_str!({:?})),",
                file.display().to_string()
            );
        }
    }
    code.push_str("];\n");
    fs::write(Path::new(&out).join("tables.rs"), code)
}

fn sorted(dir: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        entries.push(entry?.path());
    }
    entries.sort();
    Ok(entries)
}

fn name(part: Option<&std::ffi::OsStr>) -> String {
    part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
}
