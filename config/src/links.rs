//! References by name, resolved to indices.

use crate::draft::{Draft, index_names};
use crate::names::{closest, quote};
use crate::reader::Located;
use crate::report::Report;
use std::collections::HashMap;

/// Unknown references of one kind for which the name meant is looked for.
const MOST_SUGGESTIONS: usize = 32;

/// Names resolved to indices; `None` where the name is missing or unknown, which has been reported.
pub(crate) struct Links {
    /// The port of each interface.
    pub(crate) port_of: Vec<Option<usize>>,
    /// The pool of each VIP.
    pub(crate) pool_of: Vec<Option<usize>>,
    /// The VIPs of each pool, in the order of the file.
    pub(crate) vips_of: Vec<Vec<usize>>,
    /// The ports of `[exception]`, in its order; all ports without a list.
    pub(crate) exception_ports: Vec<Option<usize>>,
}

/// Resolves all names of a draft.
pub(crate) fn resolve(draft: &Draft, report: &mut Report) -> Links {
    let ports = index_names("ports", draft.ports.iter().map(|port| port.name.as_ref()), report);
    let all_ports = !draft.ports.is_empty() && draft.ports.iter().all(|port| port.name.is_some());
    let mut ports = Names { what: "port", known: ports, complete: draft.ports.complete && all_ports, suggestions: 0 };
    let port_of = draft.interfaces.iter().map(|interface| ports.find(interface.port.as_ref(), report)).collect();
    let named = draft.exception.as_ref().and_then(|exception| exception.ports.as_ref());
    let exception_ports = match named {
        Some(Some(names)) => names.iter().map(|name| ports.find(Some(name), report)).collect(),
        Some(None) => (0..draft.ports.len()).map(Some).collect(),
        None => Vec::new(),
    };
    let pools = index_names("pools", draft.pools.iter().map(|pool| pool.name.as_ref()), report);
    let all_pools = draft.pools.iter().all(|pool| pool.name.is_some());
    let mut pools = Names { what: "pool", known: pools, complete: draft.pools.complete && all_pools, suggestions: 0 };
    let pool_of: Vec<_> = draft.vips.iter().map(|vip| pools.find(vip.pool.as_ref(), report)).collect();
    let mut vips_of = vec![Vec::new(); draft.pools.len()];
    for (vip, pool) in pool_of.iter().enumerate() {
        if let Some(vips) = pool.and_then(|pool| vips_of.get_mut(pool)) {
            vips.push(vip);
        }
    }
    Links { port_of, pool_of, vips_of, exception_ports }
}

/// The names that references of one kind may use.
struct Names<'n> {
    what: &'static str,
    known: HashMap<&'n str, usize>,
    /// Whether all names could be read; until then an unknown one is not reported.
    complete: bool,
    /// How many suggestions were looked for.
    suggestions: usize,
}

impl Names<'_> {
    fn find(&mut self, name: Option<&Located<String>>, report: &mut Report) -> Option<usize> {
        let name = name?;
        let found = self.known.get(name.value.as_str()).copied();
        if found.is_none() && self.complete {
            let finding = report.error(name.at, format!("there is no {} {}", self.what, quote(&name.value)));
            match self.closest(&name.value) {
                Some(meant) => finding.help(format!("did you mean \"{meant}\"?")),
                None => finding.help(format!("define it with [[{}]]", self.what)),
            };
        }
        found
    }

    /// The name that was probably meant. A comparison with every name is for a few mistakes, not for thousands.
    fn closest(&mut self, name: &str) -> Option<&str> {
        self.suggestions += 1;
        if self.suggestions > MOST_SUGGESTIONS { None } else { closest(name, self.known.keys().copied()) }
    }
}
