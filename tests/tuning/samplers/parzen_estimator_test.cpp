// The density is the one that Optuna 5 estimates (tests/baselines/tuning.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <levin/tuning/samplers/parzen_estimator.h>
#include <levin/tuning/samplers/truncated_normal.h>

#include "tuning/baseline.h"

namespace levin::parzen_estimator_test {

using test::numbers;
using test::tuning_baseline;

TEST(TruncatedNormal, masses_and_quantiles_are_optunas) {
  const Value& normal = tuning_baseline().at("normal");
  const auto a = numbers(normal.at("a"));
  const auto b = numbers(normal.at("b"));
  const auto q = numbers(normal.at("q"));
  const auto masses = numbers(normal.at("log_mass"));
  for (size_t i = 0; i < a.size(); ++i) {
    SCOPED_TRACE(testing::Message() << a[i] << " to " << b[i]);
    EXPECT_NEAR(log_normal_mass(a[i], b[i]), masses[i], 1e-9 * (1.0 + std::fabs(masses[i])));
    const auto quantiles = numbers(normal.at("ppf").as_array()[i]);
    for (size_t j = 0; j < q.size(); ++j) {
      EXPECT_NEAR(truncated_normal_quantile(q[j], a[i], b[i]), quantiles[j],
                  1e-7 * (1.0 + std::fabs(quantiles[j])))
          << q[j];
    }
  }
}

std::vector<std::pair<double, double>> sorted_pairs(const std::vector<double>& a,
                                                    const std::vector<double>& b) {
  std::vector<std::pair<double, double>> pairs;
  for (size_t i = 0; i < a.size(); ++i) pairs.emplace_back(a[i], b[i]);
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

TEST(ParzenEstimator, kernels_weights_and_densities_are_optunas) {
  const auto space = test::baseline_space();
  for (const Value& row : tuning_baseline().at("estimators").as_array()) {
    const auto observations = test::rows_of(row.at("observations"), space);
    SCOPED_TRACE(testing::Message() << observations.size() << " observations");
    const ParzenEstimator estimator(test::distributions_of(space), observations);
    const auto weights = numbers(row.at("weights"));
    ASSERT_EQ(estimator.weights().size(), weights.size());
    for (size_t k = 0; k < weights.size(); ++k) {
      EXPECT_NEAR(estimator.weights()[k], weights[k], 1e-12);
    }
    for (size_t i = 0; i < space.size(); ++i) {
      SCOPED_TRACE(space[i].name);
      const Value& kernels = row.at("kernels").at(space[i].name);
      if (space[i].distribution.is_categorical()) {
        const auto& tables = kernels.at("weights").as_array();
        ASSERT_EQ(estimator.kernels(i).choices.size(), tables.size());
        for (size_t k = 0; k < tables.size(); ++k) {
          const auto table = numbers(tables[k]);
          for (size_t c = 0; c < table.size(); ++c) {
            EXPECT_NEAR(estimator.kernels(i).choices[k][c], table[c], 1e-12);
          }
        }
        continue;
      }
      // Which of two equal centres has which width isn't fixed.
      const auto own = sorted_pairs(estimator.kernels(i).mu, estimator.kernels(i).sigma);
      const auto theirs = sorted_pairs(numbers(kernels.at("mu")), numbers(kernels.at("sigma")));
      ASSERT_EQ(own.size(), theirs.size());
      for (size_t k = 0; k < own.size(); ++k) {
        EXPECT_NEAR(own[k].first, theirs[k].first, 1e-12);
        EXPECT_NEAR(own[k].second, theirs[k].second, 1e-12);
      }
    }
    const auto points = test::rows_of(row.at("points"), space);
    const auto densities = numbers(row.at("log_pdf"));
    for (size_t p = 0; p < points.size(); ++p) {
      EXPECT_NEAR(estimator.log_density(points[p]), densities[p], 1e-9) << "point " << p;
    }
    RandomSource random(static_cast<uint32_t>(row.at("seed").as_int()));
    const auto samples = estimator.sample(random, 5);
    const auto expected = test::rows_of(row.at("samples"), space);
    for (size_t s = 0; s < samples.size(); ++s) {
      const auto& theirs = expected[s];
      for (size_t i = 0; i < space.size(); ++i) {
        EXPECT_NEAR(samples[s][i], theirs[i], 1e-7 * (1.0 + std::fabs(theirs[i])))
            << "sample " << s << ", " << space[i].name;
      }
    }
  }
}

}  // namespace levin::parzen_estimator_test
