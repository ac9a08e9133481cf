//! Tracelift: an honest, cheap trace sampler for every Envoy of a mesh.
