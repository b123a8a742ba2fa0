#include <levin/callbacks/gradient_accumulation_scheduler.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>
#include <levin/framework/run/run.h>

namespace levin {
namespace {

[[noreturn]] void refuse(std::string_view text) {
  throw ConfigError::invalid_value(
      "GradientAccumulationScheduler.scheduling", text,
      "must be a list of EPOCH:BATCHES, with epochs from 0 and at least 1 batch for each step, for "
      "example 0:1, 4:2");
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" {");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" }") - first + 1);
}

}  // namespace

Fields describe(GradientAccumulationSchedulerOptions& o) {
  return fields_of<GradientAccumulationSchedulerOptions>({
      {"scheduling", &o.scheduling,
       "list of EPOCH:BATCHES, the batches for each step from that epoch on, as in 0:1, 4:2"},
  });
}

GradientAccumulationScheduler::GradientAccumulationScheduler(
    GradientAccumulationSchedulerOptions options) {
  std::string_view rest = options.scheduling;
  while (true) {
    const size_t comma = rest.find(',');
    const auto item = rest.substr(0, comma);
    const size_t colon = item.find(':');
    if (colon == std::string_view::npos) refuse(options.scheduling);
    const auto epoch = number_in<int64_t>(trimmed(item.substr(0, colon))).value_or(-1);
    const auto batches = number_in<int64_t>(trimmed(item.substr(colon + 1))).value_or(0);
    if (epoch < 0 || batches < 1 || !scheduling_.emplace(epoch, batches).second) {
      refuse(options.scheduling);
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  scheduling_.emplace(0, 1);
}

int64_t GradientAccumulationScheduler::accumulation(int64_t epoch) const {
  return std::prev(scheduling_.upper_bound(epoch))->second;
}

void GradientAccumulationScheduler::on_train_start(Run& run) { ask(run, run.epoch()); }

void GradientAccumulationScheduler::on_train_epoch_end(Run& run) { ask(run, run.epoch() + 1); }

void GradientAccumulationScheduler::ask(Run& run, int64_t epoch) const {
  const int64_t batches = accumulation(epoch);
  if (batches != run.progress().accumulate) run.accumulate(batches);
}

}  // namespace levin
