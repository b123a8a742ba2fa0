// Pipelines of the MLP that comes with Levin: row 50 of the requirements.

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/mlp.h>

#include "distributed/pipeline_rows.h"
#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"
#include "framework/message_of.h"

namespace levin::test::mlp_pipelines_test {

class MLPPipelines : public RanksTest {};

int train_mlp(const Value& settings) {
  const auto options = begin_as_rank(settings, 2);
  levin::MLP model({.hidden_sizes = {5, 4},
                    .activation = "tanh",
                    .learning_rate = 0.02,
                    .class_weight = std::vector<double>{1.0, 3.0},
                    .metrics = {"recall"}});
  model.to(torch::kDouble);
  PipelineRows data(replicas_in(settings));
  levin::Trainer trainer(options);
  const auto history = trainer.fit(model, data);
  levin::StateDict result;
  for (const char* name : {"val_loss", "val_acc", "val_recall_1"}) {
    result.values["metrics"][name] = history.last(name);
  }
  result.values["metrics"]["test_loss"] = trainer.test(model, data).at("test_loss");
  result.add("model", model.state_dict().clone());
  const auto predicted = trainer.predict(model, data);
  result.tensors["probability"] = predicted.back().second;
  leave_result(settings, result);
  return 0;
}

TEST_F(MLPPipelines, of_the_shipped_mlp_equal_one_process) {
  const auto alone = run_on(1, "alone", pipeline_of(1, "1f1b", 0), train_mlp);
  const auto names = alone.rank(0).child("model").tensors;
  EXPECT_TRUE(names.contains("layer2.weight"));
  for (const int64_t replicas : {1, 2}) {
    const auto name = fmt::format("pipelines-{}", replicas);
    const auto run = run_on(2 * replicas, name, pipeline_of(2, "1f1b", 3, 2, replicas), train_mlp);
    for (int64_t rank = 0; rank < 2 * replicas; ++rank) {
      EXPECT_LT(difference(run.rank(rank), alone.rank(0)), 1e-12) << name << rank;
      for (const auto& [metric, value] : alone.values().at("metrics").as_object()) {
        EXPECT_NEAR(run.values(rank).at("metrics").at(metric).as_double(), value.as_double(), 1e-12)
            << metric;
      }
    }
  }
}

TEST_F(MLPPipelines, refuse_an_mlp_that_a_pipeline_would_train_otherwise) {
  class Residual : public levin::MLP {
   public:
    using levin::MLP::MLP;
    torch::Tensor forward(const torch::Tensor& input) override {
      return levin::MLP::forward(input) + 1.0;
    }
  };
  Residual residual({.in_features = 3, .num_classes = 2});
  EXPECT_TRUE(says(message_of<ModuleError>([&] { residual.layers(); }), {"a subclass of MLP"}));
  levin::MLP penalised({.in_features = 3, .num_classes = 2, .l2_strength = 0.1});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { penalised.layers(); }), {"l2_strength"}));
  levin::MLP unknown({.hidden_sizes = {4}});
  EXPECT_TRUE(says(message_of<ModuleError>([&] { unknown.layers(); }), {"in_features"}));
}

}  // namespace levin::test::mlp_pipelines_test
