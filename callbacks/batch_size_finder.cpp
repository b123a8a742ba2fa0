#include <levin/callbacks/batch_size_finder.h>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>

namespace levin {

StateDict BatchSizeFinder::state_dict() const {
  StateDict state;
  if (batch_size_) state.values["batch_size"] = *batch_size_;
  return state;
}

void BatchSizeFinder::load_state_dict(const StateDict& state) {
  batch_size_.reset();
  if (state.values.contains("batch_size")) batch_size_ = state.values.at("batch_size").as_int();
}

void BatchSizeFinder::tune(const FitToTune& fit, TunedSettings& tuned) {
  batch_size_ = scale_batch_size(fit.options, fit.module, fit.data, fit.run.ranks(), options_,
                                 fit.optimizers);
  tuned.batch_size = batch_size_;
  if (!fit.run.is_global_zero()) return;
  diagnostics::print(
      fmt::format("note: BatchSizeFinder sets the batch size to {}\n", *batch_size_));
}

}  // namespace levin
