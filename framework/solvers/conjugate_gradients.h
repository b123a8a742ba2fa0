#pragma once

#include <cstdint>

#include <levin/framework/solvers/objective.h>

namespace levin {

/// How far conjugate gradients go.
struct ConjugateGradientsLimits {
  int64_t max_products = 200;
  bool precondition = true;
  /// The largest norm of the step, in the norm of the preconditioner's inverse; 0 for none.
  double radius = 0.0;
};

/// What conjugate gradients have found.
struct NewtonStep {
  /// [size]
  torch::Tensor step;
  /// What the quadratic model says the objective changes by; below 0.
  double change = 0.0;
  /// In the norm of the preconditioner's inverse.
  double norm = 0.0;
  bool is_at_radius = false;
};

/// Minimises the quadratic model of f at the point where `objective` was evaluated last, with
/// `gradient` there, until it falls by little more: after j products, until j times the last fall
/// is at most a share of the whole one. The share is smaller the closer the minimum of f is.
NewtonStep conjugate_gradients(Objective& objective, const torch::Tensor& gradient,
                               const ConjugateGradientsLimits& limits);

}  // namespace levin
