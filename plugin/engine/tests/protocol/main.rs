//! The protocol of a request, natively: the whole engine on a simulated host, in every order and with every failure.

mod applications;
mod asking;
mod budget;
mod central;
mod coverage;
mod crowds;
mod delays;
mod edge;
mod endings;
mod faults;
mod kit;
mod marks;
mod measured;
mod merged;
mod orders;
mod parents;
mod properties;
mod recall;
mod rules;
mod several_lines;
mod shadow;
mod shared;
mod signal;
mod updates;
mod ways;
