//! The control side of Guideway: desired state, reconcile, health, neighbours, API.
