//! A file decoded section by section, with positions, before its sections are checked against each other.
//!
//! `None` in a draft means that the value is missing or was refused, and that this has been reported.

use crate::backends::BackendDraft;
use crate::cores::CoresDraft;
use crate::interfaces::InterfaceDraft;
use crate::machine::Machine;
use crate::pools::PoolDraft;
use crate::ports::PortDraft;
use crate::process::ProcessDraft;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::routes::RouteDraft;
use crate::schema::{self, Section};
use crate::vips::VipDraft;
use crate::{cores, interfaces, pools, ports, process, routes, vips};
use std::collections::HashMap;
use toml::de::DeTable;

/// All sections.
pub(crate) struct Draft {
    pub(crate) process: ProcessDraft,
    pub(crate) cores: Option<CoresDraft>,
    pub(crate) ports: Vec<PortDraft>,
    pub(crate) interfaces: Vec<InterfaceDraft>,
    pub(crate) routes: Vec<RouteDraft>,
    pub(crate) pools: Vec<PoolDraft>,
    pub(crate) vips: Vec<VipDraft>,
}

impl Draft {
    /// Decodes all sections of a file.
    pub(crate) fn read(root: &DeTable<'_>, machine: Option<&Machine>, report: &mut Report) -> Self {
        let mut file = Reader::new(root, &schema::FILE, 0);
        let process = process::read(&mut file, report);
        let cores = file.need("cores", report).and_then(|value| cores::read(value, machine, report));
        let ports = match file.need("port", report) {
            Some(value) => {
                each(value, &schema::PORT, report, |reader, report| ports::read(reader, cores.as_ref(), report))
            }
            None => Vec::new(),
        };
        let interfaces = optional(&mut file, "interface", &schema::INTERFACE, report, interfaces::read);
        let routes = optional(&mut file, "route", &schema::ROUTE, report, routes::read);
        let pools = optional(&mut file, "pool", &schema::POOL, report, pools::read);
        let vips = optional(&mut file, "vip", &schema::VIP, report, vips::read);
        file.finish(report);
        Self { process, cores, ports, interfaces, routes, pools, vips }
    }

    /// All backends of all pools.
    pub(crate) fn backends(&self) -> impl Iterator<Item = &BackendDraft> {
        self.pools.iter().flat_map(|pool| &pool.backends)
    }
}

fn optional<'a, T>(
    file: &mut Reader<'a>,
    key: &'static str,
    section: &'static Section,
    report: &mut Report,
    read: impl FnMut(Reader<'a>, &mut Report) -> T,
) -> Vec<T> {
    file.get(key).map_or_else(Vec::new, |value| each(value, section, report, read))
}

fn each<'a, T>(
    value: Value<'a>,
    section: &'static Section,
    report: &mut Report,
    mut read: impl FnMut(Reader<'a>, &mut Report) -> T,
) -> Vec<T> {
    value.tables(section, report).into_iter().map(|reader| read(reader, report)).collect()
}

/// Indices by name; a name given twice is reported and keeps its first index.
pub(crate) fn index_names<'n>(
    what: &str,
    names: impl Iterator<Item = Option<&'n Located<String>>>,
    report: &mut Report,
) -> HashMap<&'n str, usize> {
    let mut first_at: HashMap<&str, (usize, usize)> = HashMap::new();
    for (index, name) in names.enumerate() {
        let Some(name) = name else { continue };
        match first_at.get(name.value.as_str()) {
            Some(&(_, at)) => {
                report.error(name.at, format!("two {what} are called \"{}\"", name.value)).related(at, "first defined");
            }
            None => {
                first_at.insert(&name.value, (index, name.at));
            }
        }
    }
    first_at.into_iter().map(|(name, (index, _))| (name, index)).collect()
}
