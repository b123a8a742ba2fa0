#include <levin/framework/trainer/run_loggers.h>

namespace levin {

Logger& RunLoggers::add(std::unique_ptr<Logger> logger) {
  return *all_.emplace_back(std::move(logger));
}

void RunLoggers::select(bool use) {
  used_.clear();
  if (!use) return;
  for (const auto& logger : all_) used_.push_back(logger.get());
}

void RunLoggers::start(Run& run, const Value& settings) {
  for (Logger* logger : used_) {
    logger->start(run);
    logger->log_hyper_parameters(settings);
  }
}

void RunLoggers::finish() {
  for (Logger* logger : used_) logger->finish(/*failed=*/false);
}

}  // namespace levin
