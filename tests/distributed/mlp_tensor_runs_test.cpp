// Runs of the MLP that comes with Levin whose layers are shared by several ranks.

#include <cstdint>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <levin/framework/trainer/trainer.h>
#include <levin/models/mlp.h>

#include "distributed/mesh_settings.h"
#include "distributed/pipeline_rows.h"
#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"

namespace levin::test::mlp_tensor_runs_test {

class MLPTensorRuns : public RanksTest {};

int train_mlp(const Value& settings) {
  const auto options = begin_as_rank(settings, settings.at("epochs").as_int());
  std::vector<int64_t> hidden;
  for (const auto& size : settings.at("hidden").as_array()) hidden.push_back(size.as_int());
  levin::MLP model({.hidden_sizes = hidden,
                    .activation = "tanh",
                    .dropout = settings.contains("dropout") ? 0.3 : 0.0,
                    .learning_rate = 0.02});
  model.to(torch::kDouble);
  PipelineRows data(replicas_in(settings));
  levin::Trainer trainer(options);
  const auto history = trainer.fit(model, data);
  levin::StateDict result;
  for (const char* name : {"val_loss", "val_acc"}) result.values[name] = history.last(name);
  result.values["test_loss"] = trainer.test(model, data).at("test_loss");
  result.add("model", model.state_dict().clone());
  result.tensors["probability"] = trainer.predict(model, data).back().second;
  leave_result(settings, result);
  return 0;
}

// The first of two layers is divided by its units, the second by its features, and a third is
// whole.
TEST_F(MLPTensorRuns, of_the_shipped_mlp_equal_one_process) {
  const struct {
    const char* name;
    std::vector<int64_t> hidden;
    int64_t data, tensor;
    bool has_dropout;
  } cases[] = {{"two", {5}, 1, 2, true},
               {"whole-last", {5, 4}, 1, 2, true},
               {"two-by-two", {5, 4, 3}, 2, 2, false},
               {"softmax", {}, 1, 3, false}};
  for (const auto& one : cases) {
    SCOPED_TRACE(one.name);
    auto settings = mesh_of(1, 1, 1);
    Value::Array hidden;
    for (const int64_t size : one.hidden) hidden.push_back(size);
    settings["hidden"] = hidden;
    if (one.has_dropout) settings["dropout"] = true;
    const auto alone = run_on(1, std::string(one.name) + "-alone", settings, train_mlp);
    settings["replicas"] = one.data;
    settings["trainer"]["tensor_size"] = one.tensor;
    const int64_t ranks = one.data * one.tensor;
    const auto run = run_on(ranks, one.name, settings, train_mlp);
    for (int64_t rank = 0; rank < ranks; ++rank) {
      EXPECT_LT(difference(run.rank(rank), alone.rank(0)), 1e-12) << rank;
      for (const char* name : {"val_loss", "val_acc", "test_loss"}) {
        EXPECT_NEAR(run.values(rank).at(name).as_double(), alone.values().at(name).as_double(),
                    1e-12)
            << name;
      }
    }
  }
}

}  // namespace levin::test::mlp_tensor_runs_test
