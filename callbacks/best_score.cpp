#include <levin/callbacks/best_score.h>

#include <levin/callbacks/whole_model.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/run.h>
#include <levin/framework/tensor/divided_memory.h>

namespace levin {
namespace {

constexpr const char* kBestWeights = "best_weights";

}  // namespace

std::optional<double> BestScore::found() const {
  return step_ < 0 ? std::nullopt : std::optional(value_);
}

bool BestScore::has_other_weights(const Run& run) const {
  return !weights_.tensors.empty() && step_ != run.global_step();
}

void BestScore::require_all_weights(const Run& run) {
  require_whole_model("restore_best_weights", "checkpoints would have those of one rank alone",
                      run);
}

void BestScore::take(double value, Run& run, bool with_weights) {
  value_ = value;
  epoch_ = run.epoch();
  step_ = run.global_step();
  if (!with_weights) return;
  const WholeTensors whole(run.module().parameters());  // all ranks have the same score
  weights_ = run.module().state_dict().clone();
}

void BestScore::save_to(StateDict& state) const {
  state.values["best_score"] = value_;
  state.values["best_epoch"] = epoch_;
  state.values["best_step"] = step_;
  state.add(kBestWeights, weights_);
}

void BestScore::load_from(const StateDict& state) {
  value_ = state.values.at("best_score").as_double();
  epoch_ = state.values.at("best_epoch").as_int();
  step_ = state.values.at("best_step").as_int();
  weights_ = state.child(kBestWeights).clone();
}

}  // namespace levin
