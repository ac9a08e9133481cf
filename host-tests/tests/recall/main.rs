//! Recall: siblings that had answered well are kept when their trace fails, across pods whose Envoys ask each other.

mod bounds;
mod ledger;
mod loss;
mod mesh;
mod siblings;
mod trust;
