#include <levin/framework/trainer/run_loggers.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/run/evaluation_scope.h>
#include <levin/framework/tensor/divided_memory.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

/// The first rows of the training data, as a step gets them, but without augmentation. Empty if
/// there are no rows.
Batch first_training_batch(const LoopParts& parts) {
  DataLoaders loaders = parts.run.train_dataloader();
  for (DataLoader& loader : loaders) {
    DataLoaderOptions options = loader.options();
    options.shuffle = false;
    options.sampler = nullptr;
    options.drop_last = false;
    options.num_workers = 0;
    options.augment = false;
    loader = DataLoader(loader.shared_dataset(), std::move(options));
  }
  Batch batch;
  if (loaders.empty()) return batch;
  TrainingData data(loaders, RankShare{}, /*limit=*/{});
  data.seek(/*epoch=*/0, /*position=*/0);
  if (data.next(batch)) transfer(parts, batch);
  return batch;
}

}  // namespace

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

void RunLoggers::log_graph(const LoopParts& parts) {
  const auto keeps = [](const Logger* logger) { return logger->keeps_graph(); };
  if (std::none_of(used_.begin(), used_.end(), keeps)) return;
  const auto parameters = parts.module.parameters();
  if (parts.strategy.divides_module() ||  // then rank 0 can't compute anything by itself
      std::any_of(parameters.begin(), parameters.end(), is_divided)) {
    return parts.run.warn(
        "the graph of the module isn't logged, because its parameters are divided among the ranks");
  }
  const EvaluationScope evaluation(parts.module);
  Batch input = example_batch(parts.module);
  try {
    if (input.entries().empty()) input = first_training_batch(parts);
  } catch (const std::exception& error) {
    parts.run.warn(fmt::format(
        "the graph of the module isn't logged, because the first training batch can't be read: {}. "
        "Override example_input_array to give an input",
        plain_message(error)));
    return;
  }
  if (input.entries().empty()) {
    return parts.run.warn(
        "the graph of the module isn't logged, because there is no training batch; override "
        "example_input_array to give an input");
  }
  for (Logger* logger : used_) {
    if (keeps(logger)) logger->log_graph(parts.module, input);
  }
}

void RunLoggers::finish() {
  for (Logger* logger : used_) logger->finish(/*failed=*/false);
}

}  // namespace levin
