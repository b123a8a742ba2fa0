#pragma once

namespace levin {

/// The logarithm of the probability that a normal number (mean 0, variance 1) lies between a and b,
/// accurate far out in the tails as well.
double log_normal_mass(double a, double b);

/// The quantile of a normal number that is known to lie between a and b: with probability q it is
/// at most the result. q is from 0 to 1.
double truncated_normal_quantile(double q, double a, double b);

}  // namespace levin
