#include <levin/callbacks/stochastic_weight_averaging.h>

#include <c10/core/Device.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/device.h>

namespace levin {
namespace {

[[noreturn]] void refuse_swa_option(const char* option, const std::string& value,
                                    const char* must) {
  throw ConfigError::invalid_value(fmt::format("StochasticWeightAveraging.{}", option), value,
                                   must);
}

void check_device_of_average(const std::string& name) {
  try {
    const at::Device device(name);
    for (const auto& there : available_devices()) {
      if (device.type() == there.type() && (!device.has_index() || device == there)) return;
    }
  } catch (const c10::Error&) {  // it isn't the name of a device
  }
  refuse_swa_option("device", name,
                    "must be cpu or a device that this machine has, such as cuda:0");
}

}  // namespace

Fields describe(StochasticWeightAveragingOptions& o) {
  return fields_of<StochasticWeightAveragingOptions>({
      {"swa_lrs", &o.swa_lrs, "learning rate of the averaging phase: one, or one for each group"},
      {"swa_epoch_start", &o.swa_epoch_start,
       "where the phase begins: the n-th epoch (int), or a share of max_epochs (float)"},
      {"annealing_epochs", &o.annealing_epochs,
       "the epochs in which the learning rate goes to that of the phase"},
      {"annealing_strategy", &o.annealing_strategy, "how it gets there: cos or linear"},
      {"device", &o.device, "where the average is kept, such as cpu; empty: with the module"},
  });
}

void validate(const StochasticWeightAveragingOptions& o) {
  if (o.swa_lrs.empty()) {
    refuse_swa_option("swa_lrs", "[]", "must be a learning rate, or a list of one for each group");
  }
  for (const double rate : o.swa_lrs) {
    if (!(rate > 0.0)) refuse_swa_option("swa_lrs", fmt::to_string(rate), "must be above 0");
  }
  const auto& start = o.swa_epoch_start;
  if (start.is_count() ? start.count() < 1
                       : !(start.fraction() >= 0.0 && start.fraction() <= 1.0)) {
    refuse_swa_option(
        "swa_epoch_start",
        start.is_count() ? fmt::to_string(start.count()) : fmt::to_string(start.fraction()),
        "must be an epoch from 1 on, or a share of max_epochs from 0.0 to 1.0");
  }
  if (o.annealing_epochs < 0) {
    refuse_swa_option("annealing_epochs", fmt::to_string(o.annealing_epochs), "must be at least 0");
  }
  if (o.annealing_strategy != "cos" && o.annealing_strategy != "linear") {
    refuse_swa_option("annealing_strategy", o.annealing_strategy, "must be cos or linear");
  }
  if (!o.device.empty()) check_device_of_average(o.device);
}

}  // namespace levin
