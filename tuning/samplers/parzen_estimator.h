#pragma once

#include <cstddef>
#include <vector>

#include <levin/tuning/samplers/random_source.h>
#include <levin/tuning/space/distribution.h>

namespace levin {

/// A density over some parameters, as Optuna 5's TPE estimates it from observed values: a mixture
/// of one kernel for each observation and one for the prior. A kernel is a product over the
/// parameters: of truncated normals (in the logarithm of a logarithmic range; a range with steps
/// has the probability of the interval around each value), and of a table for choices.
class ParzenEstimator {
 public:
  /// What the kernels are in one parameter: [observations + 1], the prior last.
  struct Kernels {
    /// Centres and widths, in logarithms if the range is logarithmic; empty for choices.
    std::vector<double> mu{};
    std::vector<double> sigma{};
    /// For choices: the probability of each, [observations + 1][choices]. Without observations,
    /// only the prior.
    std::vector<std::vector<double>> choices{};
  };

  /// `observations` are internal values, [observations][parameters]. `weights`, [observations], are
  /// those that Optuna gives: 1 for the last 25, less the older ones are; `uniform_weights` makes
  /// all of them 1. The prior has the weight 1.
  ParzenEstimator(std::vector<Distribution> parameters,
                  const std::vector<std::vector<double>>& observations,
                  bool uniform_weights = false);

  /// Draws points, [count][parameters], in the order in which Optuna takes random numbers.
  std::vector<std::vector<double>> sample(RandomSource& random, size_t count) const;
  /// The logarithm of the density at a point, [parameters].
  double log_density(const std::vector<double>& point) const;

  /// The weights of the kernels, which sum up to 1, and what the kernels are in a parameter.
  const std::vector<double>& weights() const { return weights_; }
  const Kernels& kernels(size_t parameter) const { return kernels_[parameter]; }

 private:
  void add_range(const Distribution& range, std::vector<double> centres);
  void add_choices(const Distribution& choices, const std::vector<double>& observed);
  void add_log_density(size_t parameter, double value, std::vector<double>& sums) const;

  std::vector<Distribution> parameters_;
  std::vector<double> weights_;
  std::vector<Kernels> kernels_;
  std::vector<std::vector<double>> log_masses_;  // of the kernels within the range
};

}  // namespace levin
