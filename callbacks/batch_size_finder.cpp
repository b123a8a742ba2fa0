#include <levin/callbacks/batch_size_finder.h>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>

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
  if (fit.run.ranks().size() > 1) {
    throw ConfigError::conflict("BatchSizeFinder with several ranks",
                                "find the size in one process, which has one device, and set it");
  }
  batch_size_ = scale_batch_size(fit.options, fit.module, fit.data, options_, fit.optimizers);
  tuned.batch_size = batch_size_;
  diagnostics::print(
      fmt::format("note: BatchSizeFinder sets the batch size to {}\n", *batch_size_));
}

}  // namespace levin
