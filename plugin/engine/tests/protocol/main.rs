//! The protocol of a request, natively: the whole engine on a simulated host, in every order and with every failure.

mod applications;
mod asking;
mod attacked;
mod budget;
mod central;
mod crowds;
mod delays;
mod edge;
mod endings;
mod faults;
mod kit;
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
mod shown;
mod signal;
mod updates;
mod ways;
