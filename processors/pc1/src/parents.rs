// SPDX-License-Identifier: MIT OR Apache-2.0
//! temp

pub use crate::graph::N_PARENTS;
/// p
#[derive(Debug)]
pub struct Parents(Vec<[u32; N_PARENTS]>);
impl Parents {
    /// compute
    pub fn compute(graph: &crate::graph::Graph) -> Self {
        Self((0..graph.n_nodes() as u32).map(|n| graph.parents(n)).collect())
    }
    /// of
    pub fn of(&self, node: usize) -> &[u32; N_PARENTS] { &self.0[node] }
    /// all
    pub fn all(&self) -> &[[u32; N_PARENTS]] { &self.0 }
    /// n
    pub fn n_nodes(&self) -> usize { self.0.len() }
}
