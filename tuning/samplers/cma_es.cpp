#include <levin/tuning/samplers/cma_es.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr double kTiny = 1e-8;
constexpr int kMostDraws = 100;

double norm_of(const std::vector<double>& vector) {
  return std::sqrt(std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0));
}

}  // namespace

void symmetric_eigen(std::vector<double> matrix, size_t size, std::vector<double>& values,
                     std::vector<double>& vectors) {
  vectors.assign(size * size, 0.0);
  for (size_t i = 0; i < size; ++i) vectors[i * size + i] = 1.0;
  const auto at = [&](size_t i, size_t j) -> double& { return matrix[i * size + j]; };
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0.0;
    double diagonal = 0.0;
    for (size_t i = 0; i < size; ++i) {
      diagonal += at(i, i) * at(i, i);
      for (size_t j = 0; j < i; ++j) off += at(i, j) * at(i, j);
    }
    if (off <= 1e-32 * diagonal) break;
    for (size_t p = 0; p < size; ++p) {
      for (size_t q = p + 1; q < size; ++q) {
        if (at(p, q) == 0.0) continue;
        const double theta = (at(q, q) - at(p, p)) / (2.0 * at(p, q));
        const double t =
            (theta >= 0 ? 1.0 : -1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1.0));
        const double c = 1.0 / std::sqrt(t * t + 1.0);
        const double s = t * c;
        for (size_t k = 0; k < size; ++k) {
          const double kp = at(k, p);
          const double kq = at(k, q);
          at(k, p) = c * kp - s * kq;
          at(k, q) = s * kp + c * kq;
        }
        for (size_t k = 0; k < size; ++k) {
          const double pk = at(p, k);
          const double qk = at(q, k);
          at(p, k) = c * pk - s * qk;
          at(q, k) = s * pk + c * qk;
          const double vp = vectors[k * size + p];
          const double vq = vectors[k * size + q];
          vectors[k * size + p] = c * vp - s * vq;
          vectors[k * size + q] = s * vp + c * vq;
        }
      }
    }
  }
  values.resize(size);
  for (size_t i = 0; i < size; ++i) values[i] = at(i, i);
}

CmaEs::CmaEs(std::vector<double> mean, double sigma, std::vector<std::pair<double, double>> bounds,
             size_t population_size)
    : size_(mean.size()),
      population_(population_size),
      bounds_(std::move(bounds)),
      mean_(std::move(mean)),
      sigma_(sigma) {
  if (size_ == 0 || bounds_.size() != size_) {
    throw ConfigError("CMA-ES needs at least one dimension, and bounds for each");
  }
  if (!(sigma > 0.0)) {
    throw ConfigError::invalid_value("sigma", fmt::format("{}", sigma), "must be above 0");
  }
  for (size_t i = 0; i < size_; ++i) {
    if (mean_[i] >= bounds_[i].first && mean_[i] <= bounds_[i].second) continue;
    throw ConfigError(fmt::format("CMA-ES begins at {}, which is not within its bounds {} and {}",
                                  mean_[i], bounds_[i].first, bounds_[i].second));
  }
  if (population_ == 0) {
    population_ = 4 + static_cast<size_t>(3.0 * std::log(static_cast<double>(size_)));
  }
  if (population_ < 4) {
    throw ConfigError::invalid_value("population_size", std::to_string(population_),
                                     "must be at least 4");
  }
  set_rates();
  covariance_.assign(size_ * size_, 0.0);
  for (size_t i = 0; i < size_; ++i) covariance_[i * size_ + i] = 1.0;
  sigma_path_.assign(size_, 0.0);
  covariance_path_.assign(size_, 0.0);
  decompose();
}

// The numbers of equations are those of the tutorial.
void CmaEs::set_rates() {
  const auto n = static_cast<double>(size_);
  const auto lambda = static_cast<double>(population_);
  const size_t mu = population_ / 2;
  for (size_t i = 0; i < population_; ++i) {
    weights_.push_back(std::log((lambda + 1.0) / 2.0) - std::log(static_cast<double>(i + 1)));
  }
  double good = 0.0, good_squares = 0.0, bad = 0.0, bad_squares = 0.0;
  double positive = 0.0, negative = 0.0;
  for (size_t i = 0; i < population_; ++i) {
    (i < mu ? good : bad) += weights_[i];
    (i < mu ? good_squares : bad_squares) += weights_[i] * weights_[i];
    (weights_[i] > 0 ? positive : negative) += std::fabs(weights_[i]);
  }
  mu_eff_ = good * good / good_squares;
  const double mu_eff_bad = bad * bad / bad_squares;
  c1_ = 2.0 / ((n + 1.3) * (n + 1.3) + mu_eff_);
  cmu_ = std::min(1.0 - c1_ - 1e-8,
                  2.0 * (mu_eff_ - 2.0 + 1.0 / mu_eff_) / ((n + 2.0) * (n + 2.0) + mu_eff_));
  const double alpha = std::min({1.0 + c1_ / cmu_, 1.0 + 2.0 * mu_eff_bad / (mu_eff_ + 2.0),
                                 (1.0 - c1_ - cmu_) / (n * cmu_)});  // (50) to (52)
  for (double& weight : weights_) weight *= weight >= 0.0 ? 1.0 / positive : alpha / negative;
  c_sigma_ = (mu_eff_ + 2.0) / (n + mu_eff_ + 5.0);
  d_sigma_ = 1.0 + 2.0 * std::max(0.0, std::sqrt((mu_eff_ - 1.0) / (n + 1.0)) - 1.0) + c_sigma_;
  cc_ = (4.0 + mu_eff_ / n) / (n + 4.0 + 2.0 * mu_eff_ / n);
  expected_norm_ = std::sqrt(n) * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n));
}

void CmaEs::decompose() {
  for (size_t i = 0; i < size_; ++i) {
    for (size_t j = 0; j < i; ++j) {
      const double both = (covariance_[i * size_ + j] + covariance_[j * size_ + i]) / 2.0;
      covariance_[i * size_ + j] = covariance_[j * size_ + i] = both;
    }
  }
  symmetric_eigen(covariance_, size_, scales_, basis_);
  bool is_repaired = false;
  for (double& scale : scales_) {
    is_repaired = is_repaired || scale < 0.0;
    scale = std::sqrt(scale < 0.0 ? kTiny : scale);
  }
  if (!is_repaired) return;
  for (size_t i = 0; i < size_; ++i) {
    for (size_t j = 0; j < size_; ++j) {
      double sum = 0.0;
      for (size_t k = 0; k < size_; ++k) {
        sum += basis_[i * size_ + k] * scales_[k] * scales_[k] * basis_[j * size_ + k];
      }
      covariance_[i * size_ + j] = sum;
    }
  }
}

std::vector<double> CmaEs::ask(RandomSource& random) const {
  std::vector<double> point(size_);
  for (int draw = 0; draw <= kMostDraws; ++draw) {
    std::vector<double> normal(size_);
    for (size_t k = 0; k < size_; ++k) normal[k] = scales_[k] * random.normal();
    bool is_inside = true;
    for (size_t i = 0; i < size_; ++i) {
      const double step =
          std::inner_product(normal.begin(), normal.end(),
                             basis_.begin() + static_cast<std::ptrdiff_t>(i * size_), 0.0);
      point[i] = mean_[i] + sigma_ * step;
      is_inside = is_inside && point[i] >= bounds_[i].first && point[i] <= bounds_[i].second;
    }
    if (is_inside) return point;
  }
  for (size_t i = 0; i < size_; ++i) {
    point[i] = std::clamp(point[i], bounds_[i].first, bounds_[i].second);
  }
  return point;
}

/// The vector times the inverse square root of the covariance.
std::vector<double> CmaEs::whiten(const std::vector<double>& vector) const {
  std::vector<double> result(size_, 0.0);
  for (size_t k = 0; k < size_; ++k) {
    double along = 0.0;
    for (size_t i = 0; i < size_; ++i) along += basis_[i * size_ + k] * vector[i];
    for (size_t i = 0; i < size_; ++i) result[i] += basis_[i * size_ + k] * along / scales_[k];
  }
  return result;
}

void CmaEs::move_mean(const std::vector<std::vector<double>>& steps) {
  weighted_step_.assign(size_, 0.0);
  for (size_t p = 0; p < population_ / 2; ++p) {
    for (size_t i = 0; i < size_; ++i) weighted_step_[i] += weights_[p] * steps[p][i];
  }
  for (size_t i = 0; i < size_; ++i) mean_[i] += sigma_ * weighted_step_[i];
}

void CmaEs::adapt_covariance(const std::vector<std::vector<double>>& steps, bool is_path_short) {
  const double short_path = is_path_short ? 1.0 : 0.0;
  const double push = short_path * std::sqrt(cc_ * (2.0 - cc_) * mu_eff_);
  for (size_t i = 0; i < size_; ++i) {
    covariance_path_[i] = (1.0 - cc_) * covariance_path_[i] + push * weighted_step_[i];
  }
  std::vector<double> weights = weights_;
  for (size_t p = 0; p < population_; ++p) {
    if (weights[p] >= 0.0) continue;
    const double length = norm_of(whiten(steps[p]));
    weights[p] *= static_cast<double>(size_) / (length * length + kTiny);
  }
  const double sum = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  const double kept = 1.0 + c1_ * (1.0 - short_path) * cc_ * (2.0 - cc_) - c1_ - cmu_ * sum;
  for (size_t i = 0; i < size_; ++i) {
    for (size_t j = 0; j < size_; ++j) {
      double rank_mu = 0.0;
      for (size_t p = 0; p < population_; ++p) rank_mu += weights[p] * steps[p][i] * steps[p][j];
      double& entry = covariance_[i * size_ + j];
      entry = kept * entry + c1_ * covariance_path_[i] * covariance_path_[j] + cmu_ * rank_mu;
    }
  }
}

void CmaEs::tell(const std::vector<std::vector<double>>& points,
                 const std::vector<double>& losses) {
  if (points.size() != population_ || losses.size() != population_) {
    throw ConfigError(
        fmt::format("CMA-ES was told {} points; a population has {}", points.size(), population_));
  }
  ++generation_;
  std::vector<size_t> order(population_);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (std::isnan(losses[b])) return !std::isnan(losses[a]);
    return losses[a] < losses[b];
  });
  std::vector<std::vector<double>> steps;
  for (const size_t p : order) {
    steps.push_back(points[p]);
    for (size_t i = 0; i < size_; ++i) steps.back()[i] = (points[p][i] - mean_[i]) / sigma_;
  }
  move_mean(steps);
  const std::vector<double> white = whiten(weighted_step_);
  const double push = std::sqrt(c_sigma_ * (2.0 - c_sigma_) * mu_eff_);
  for (size_t i = 0; i < size_; ++i) {
    sigma_path_[i] = (1.0 - c_sigma_) * sigma_path_[i] + push * white[i];
  }
  const double length = norm_of(sigma_path_);
  sigma_ = std::min(1e32, sigma_ * std::exp(c_sigma_ / d_sigma_ * (length / expected_norm_ - 1.0)));
  const double decay =
      1.0 - std::pow(1.0 - c_sigma_, 2.0 * (static_cast<double>(generation_) + 1.0));
  const bool is_path_short =
      length / std::sqrt(decay) < (1.4 + 2.0 / (static_cast<double>(size_) + 1.0)) * expected_norm_;
  adapt_covariance(steps, is_path_short);
  decompose();
}

}  // namespace levin
