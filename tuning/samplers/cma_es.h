#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <levin/tuning/samplers/random_source.h>

namespace levin {

/// The covariance matrix adaptation evolution strategy, (mu/mu_w, lambda) with negative weights
/// (N. Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772), for small numbers of
/// dimensions: it minimises a function within bounds.
///
///     levin::CmaEs search({0.0, 0.0}, 1.0, {{-5.0, 5.0}, {-5.0, 5.0}});
///     // for each generation: population_size() times ask, then
///     search.tell(points, losses);
class CmaEs {
 public:
  /// Begins at `mean`, [dimensions], with the standard deviation `sigma`. `bounds` are the low and
  /// high end of each dimension. A population of 0 means 4 + floor(3 ln(dimensions)). Throws
  /// ConfigError if there is no dimension, sigma isn't above 0, or the mean isn't within bounds.
  CmaEs(std::vector<double> mean, double sigma, std::vector<std::pair<double, double>> bounds,
        size_t population_size = 0);

  size_t population_size() const { return population_; }
  int64_t generation() const { return generation_; }
  /// Draws a point, [dimensions]. One outside of the bounds is drawn again up to 100 times, and
  /// then moved to the nearest one inside.
  std::vector<double> ask(RandomSource& random) const;
  /// Learns from a whole population: points that were drawn in this generation, and their losses.
  /// Throws ConfigError if it is another number of points.
  void tell(const std::vector<std::vector<double>>& points, const std::vector<double>& losses);

  const std::vector<double>& mean() const { return mean_; }
  double sigma() const { return sigma_; }
  /// Row by row, [dimensions * dimensions].
  const std::vector<double>& covariance() const { return covariance_; }

 private:
  void set_rates();
  void decompose();
  std::vector<double> whiten(const std::vector<double>& vector) const;
  void move_mean(const std::vector<std::vector<double>>& steps);
  void adapt_covariance(const std::vector<std::vector<double>>& steps, bool is_path_short);

  size_t size_ = 0;
  size_t population_ = 0;
  std::vector<std::pair<double, double>> bounds_;
  std::vector<double> weights_;  // of the points in the order of their losses
  double mu_eff_ = 0.0, c1_ = 0.0, cmu_ = 0.0, cc_ = 0.0, c_sigma_ = 0.0, d_sigma_ = 0.0;
  double expected_norm_ = 0.0;  // of a normal vector

  int64_t generation_ = 0;
  std::vector<double> mean_;
  double sigma_ = 0.0;
  std::vector<double> covariance_;
  std::vector<double> sigma_path_;
  std::vector<double> covariance_path_;
  std::vector<double> weighted_step_;
  std::vector<double> basis_;   // eigenvectors of the covariance in columns
  std::vector<double> scales_;  // square roots of its eigenvalues
};

/// Computes eigenvalues and eigenvectors (in columns) of a symmetric matrix, [size * size], by
/// Jacobi's rotations.
void symmetric_eigen(std::vector<double> matrix, size_t size, std::vector<double>& values,
                     std::vector<double>& vectors);

}  // namespace levin
