//! A file decoded section by section, with positions, before its sections are checked against each other.
//!
//! `None` in a draft means that the value is missing or was refused, and that this has been reported.

use crate::backends::BackendDraft;
use crate::cores::CoresDraft;
use crate::exception::ExceptionDraft;
use crate::interfaces::InterfaceDraft;
use crate::machine::Machine;
use crate::model::Audit;
use crate::pools::PoolDraft;
use crate::ports::PortDraft;
use crate::process::ProcessDraft;
use crate::reader::{Located, Reader, Value};
use crate::report::Report;
use crate::routes::RouteDraft;
use crate::schema::{self, Section};
use crate::vips::VipDraft;
use crate::{audit, cores, exception, interfaces, pools, ports, process, routes, vips};
use std::collections::HashMap;
use std::ops::Deref;
use toml::de::DeTable;

/// All sections.
pub(crate) struct Draft {
    pub(crate) process: ProcessDraft,
    pub(crate) cores: Option<CoresDraft>,
    pub(crate) ports: List<PortDraft>,
    pub(crate) interfaces: List<InterfaceDraft>,
    pub(crate) routes: List<RouteDraft>,
    pub(crate) pools: List<PoolDraft>,
    pub(crate) vips: List<VipDraft>,
    pub(crate) exception: Option<ExceptionDraft>,
    pub(crate) audit: Option<Audit>,
}

/// The tables of one `[[section]]`.
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// Whether every entry was a table. Otherwise what the list lacks proves nothing.
    pub(crate) complete: bool,
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl Draft {
    /// Decodes all sections of a file.
    pub(crate) fn read(root: &DeTable<'_>, machine: Option<&Machine>, report: &mut Report) -> Self {
        let mut file = Reader::new(root, &schema::FILE, 0);
        let process = process::read(&mut file, report);
        let cores = file.need("cores", report).and_then(|value| cores::read(value, machine, report));
        let ports = file.need("port", report);
        if let Some(value) = ports.filter(|value| value.is_empty()) {
            report.error(value.at, "there is no port").help("define one with [[port]]");
        }
        let ports = list(ports, &schema::PORT, report, |reader, report| ports::read(reader, cores.as_ref(), report));
        let interfaces = list(file.get("interface"), &schema::INTERFACE, report, interfaces::read);
        let routes = list(file.get("route"), &schema::ROUTE, report, routes::read);
        let pools = list(file.get("pool"), &schema::POOL, report, pools::read);
        let vips = list(file.get("vip"), &schema::VIP, report, vips::read);
        let exception = file.get("exception").and_then(|value| exception::read(value, report));
        let audit = match file.get("audit") {
            Some(value) => audit::read(value, report),
            None => Some(Audit::default()),
        };
        file.finish(report);
        Self { process, cores, ports, interfaces, routes, pools, vips, exception, audit }
    }

    /// All backends of all pools.
    pub(crate) fn backends(&self) -> impl Iterator<Item = &BackendDraft> {
        self.pools.iter().flat_map(|pool| &pool.backends)
    }
}

fn list<'a, T>(
    value: Option<Value<'a>>,
    section: &'static Section,
    report: &mut Report,
    mut read: impl FnMut(Reader<'a>, &mut Report) -> T,
) -> List<T> {
    let Some(value) = value else { return List { items: Vec::new(), complete: true } };
    let readers = value.tables(section, report);
    List { items: readers.into_iter().map(|reader| read(reader, report)).collect(), complete: value.is_tables() }
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
