// A plugin with a class of each kind that tests need. docs/plugins.md shows parts of it.
#include <levin/cli/plugin.h>
#include <levin/framework/core/error.h>
#include <levin/framework/metrics/probability_metrics.h>
#include <levin/models/logistic_regression.h>

namespace {

/// LogisticRegression under another name.
class SampleModel : public levin::LogisticRegression {
 public:
  using LogisticRegression::LogisticRegression;
};

struct SureRowsOptions {
  double least = 0.5;
};
levin::Fields describe(SureRowsOptions& o) {
  return levin::fields_of<SureRowsOptions>({{"least", &o.least, "the least probability"}});
}

/// The share of rows whose likeliest class has at least some probability.
class SureRows : public levin::RowMean {
 public:
  using Options = SureRowsOptions;
  explicit SureRows(const SureRowsOptions& options) : least_(options.least) {}
  std::string name() const override { return "sure_rows"; }
  levin::Value settings() const override { return levin::Value::Object{{"least", least_}}; }

 protected:
  torch::Tensor of_rows(const levin::ClassPredictions& predictions,
                        const torch::Tensor& /*targets*/) const override {
    return predictions.probabilities().amax(1).ge(least_).to(torch::kDouble);
  }

 private:
  double least_;
};

struct InvertOptions {
  double of = 1.0;
};
levin::Fields describe(InvertOptions& o) {
  return levin::fields_of<InvertOptions>({{"of", &o.of, "the number that 0 becomes"}});
}

/// Makes x to of - x.
class Invert : public levin::Transform {
 public:
  using Options = InvertOptions;
  explicit Invert(const InvertOptions& options) : of_(options.of) {}
  void apply(levin::Batch& batch, const levin::TransformContext& /*context*/) const override {
    batch.set("input", of_ - batch.input());
  }

 private:
  double of_;
};

}  // namespace

void levin_plugin(levin::Registry& registry) {
  registry.metrics.add<SureRows>("sure_rows", "share of rows whose class is likely");
  registry.transforms.add<Invert>("invert", "of - x");
  registry.models.add<SampleModel>("SampleModel", "LogisticRegression under another name");
}
