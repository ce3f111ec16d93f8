//! What is true of backends: kept outside of the code under test.

use guideway_dataplane::ids::BackendId;
use guideway_dataplane::time::Nanos;

/// A backend by its number in the simulation, never used again.
pub(super) type Number = u32;

/// A backend.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) pool: usize,
    pub(super) name: String,
    pub(super) id: BackendId,
    pub(super) up: bool,
    /// When it went down last.
    pub(super) down_since: Nanos,
    /// It is up, and not every worker needs to know yet: what was on it may be lost.
    pub(super) returning: bool,
    /// It is up, and no worker can know yet.
    pub(super) unannounced: bool,
    /// Since when it gets no new flows.
    pub(super) drained_since: Option<Nanos>,
    /// It was added, and is not in the table yet.
    pub(super) joining: bool,
    /// It was asked to leave, and is down if that was to be at once.
    pub(super) leaving: bool,
    /// It left.
    pub(super) gone: bool,
}

/// All backends that ever were.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) backends: Vec<Backend>,
    /// By id: who has it now.
    by_id: Vec<Option<Number>>,
}

impl Truth {
    /// A new backend.
    pub(super) fn add(&mut self, pool: usize, name: String, id: BackendId) -> Number {
        let number = self.backends.len() as Number;
        self.backends.push(Backend {
            pool,
            name,
            id,
            up: true,
            down_since: Nanos(0),
            returning: false,
            unannounced: false,
            drained_since: None,
            joining: false,
            leaving: false,
            gone: false,
        });
        if self.by_id.len() <= id.index() {
            self.by_id.resize(id.index() + 1, None);
        }
        self.by_id[id.index()] = Some(number);
        number
    }

    /// Who an id stands for.
    pub(super) fn who(&self, id: BackendId) -> Option<Number> {
        self.by_id.get(id.index()).copied().flatten()
    }

    pub(super) fn get(&self, number: Number) -> &Backend {
        &self.backends[number as usize]
    }

    pub(super) fn get_mut(&mut self, number: Number) -> &mut Backend {
        &mut self.backends[number as usize]
    }

    /// Whether flows that are on a backend have to stay there.
    pub(super) fn holds(&self, number: Number) -> bool {
        let backend = self.get(number);
        backend.up && !backend.returning
    }

    /// The numbers of a pool's backends of which something is true.
    pub(super) fn those(&self, pool: usize, of: impl Fn(&Backend) -> bool) -> Vec<Number> {
        let all = (0..).zip(&self.backends);
        all.filter(|(_, backend)| backend.pool == pool && !backend.gone && of(backend))
            .map(|(number, _)| number)
            .collect()
    }
}
