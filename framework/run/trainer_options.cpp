#include <levin/framework/run/trainer_options.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <levin/framework/averaging/model_averaging.h>
#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>
#include <levin/framework/deadline/gradient_deadline.h>
#include <levin/framework/pipeline/schedule.h>
#include <levin/framework/precision/precision.h>
#include <levin/framework/profiling/profilers.h>
#include <levin/framework/run/parameter_server_option.h>

namespace levin {
namespace {

void require_limit(std::string_view option, const CountOrFraction& limit) {
  if (limit.is_count() && limit.count() < 0) {
    throw ConfigError::invalid_value(option, std::to_string(limit.count()), "must be at least 0");
  }
  if (!limit.is_count() && !(limit.fraction() >= 0.0 && limit.fraction() <= 1.0)) {
    throw ConfigError::invalid_value(option, fmt::format("{}", limit.fraction()),
                                     "a fraction must be between 0.0 and 1.0");
  }
}

void require_at_least(std::string_view option, std::optional<int64_t> value, int64_t least) {
  if (value && *value < least) {
    throw ConfigError::invalid_value(option, std::to_string(*value),
                                     fmt::format("must be at least {}", least));
  }
}

void validate_clipping(const TrainerOptions& options) {
  if (options.gradient_clip_val && !(*options.gradient_clip_val >= 0.0)) {
    throw ConfigError::invalid_value("gradient_clip_val",
                                     fmt::format("{}", *options.gradient_clip_val),
                                     "must be at least 0; null or 0: gradients aren't clipped");
  }
  const std::string& algorithm = options.gradient_clip_algorithm;
  if (algorithm != "norm" && algorithm != "value") {
    throw ConfigError::unknown_name("gradient_clip_algorithm", algorithm, {"norm", "value"});
  }
}

void validate_intervals(const TrainerOptions& options) {
  const auto& interval = options.val_check_interval;
  if (interval.is_time()) {
    if (parse_duration("val_check_interval", interval.time()) > 0.0) return;
    throw ConfigError::invalid_value("val_check_interval", interval.time(), "must be above 0");
  }
  require_limit("val_check_interval", interval.is_count() ? CountOrFraction(interval.count())
                                                          : CountOrFraction(interval.fraction()));
  const bool is_zero = interval.is_count() ? interval.count() == 0 : interval.fraction() == 0.0;
  if (is_zero) {
    throw ConfigError::invalid_value("val_check_interval", "0",
                                     "must be above 0; limit_val_batches = 0 turns validation off");
  }
  if (!options.check_val_every_n_epoch && !interval.is_count()) {
    throw ConfigError::conflict("check_val_every_n_epoch = null counts batches across epochs",
                                "give val_check_interval as a whole number of batches or a time");
  }
}

void validate_deterministic(const SwitchOrName& deterministic) {
  const std::string name = deterministic.name();
  if (name.empty() || name == "warn") return;
  throw ConfigError::invalid_value("deterministic", name, "give true, false or warn");
}

void validate_threads(const CountOrName& threads) {
  if (const auto* count = std::get_if<int64_t>(&threads.value)) {
    if (*count >= 1 && *count <= std::numeric_limits<int>::max()) return;
    throw ConfigError::invalid_value("threads", std::to_string(*count), "must be at least 1");
  }
  const auto& name = std::get<std::string>(threads.value);
  if (!name.empty() && name != "auto") {
    throw ConfigError::invalid_value("threads", name,
                                     "give a number, auto, or nothing for what suits the work");
  }
}

void require_name(std::string_view option, const std::string& value,
                  const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), value) != names.end()) return;
  throw ConfigError::unknown_name(option, value, names);
}

void validate_compression(const TrainerOptions& options) {
  const auto& compression = options.gradient_compression;
  if (!packs_gradients(compression)) return;
  const auto what = "gradient_compression = " + compression.name;
  if (options.strategy == "zero_stage_2" || options.strategy == "zero_stage_3") {
    throw ConfigError::conflict(
        fmt::format("{} with strategy = {}, which sums parts of gradients", what, options.strategy),
        "use strategy = ddp or zero_stage_1, or fp16 or bf16");
  }
  if (Precision{options.precision}.scales_gradients()) {
    throw ConfigError::conflict(
        what + " with precision = 16-mixed, whose gradients change their scale from step to step",
        "use precision = bf16-mixed, or gradient_compression = fp16");
  }
}

void validate_averaging(const TrainerOptions& options) {
  if (!averages_models(options.model_averaging)) return;
  const auto refuse = [&](const std::string& what, const char* hint) {
    throw ConfigError::conflict(
        fmt::format("model_averaging = {} with {}", options.model_averaging.name, what), hint);
  };
  if (options.strategy.starts_with("zero_stage") || options.strategy == "parameter_server") {
    refuse(fmt::format("strategy = {}, which updates the same weights for all ranks",
                       options.strategy),
           "use strategy = ddp");
  }
  if (options.gradient_compression.name != "none") {
    refuse(fmt::format("gradient_compression = {}, though ranks send weights, not gradients",
                       options.gradient_compression.name),
           "use one of the two");
  }
  if (options.sync_batchnorm) {
    refuse("sync_batchnorm, for which ranks wait for each other in each step",
           "leave it out: the statistics of batch norms are averaged with the weights");
  }
  if (Precision{options.precision}.scales_gradients()) {
    refuse("precision = 16-mixed, with which ranks would leave out different steps",
           "use precision = bf16-mixed");
  }
}

void validate_pipeline(const TrainerOptions& options) {
  require_at_least("pipeline_size", options.pipeline_size, 1);
  require_at_least("pipeline_chunks", options.pipeline_chunks, 0);
  require_at_least("micro_batches", options.micro_batches, 0);
  require_name("pipeline_schedule", options.pipeline_schedule, PipelineSchedule::names());
  if (options.pipeline_size == 1) return;
  const auto refuse = [&](const std::string& what, std::string_view hint) {
    throw ConfigError::conflict(
        fmt::format("{} with pipeline_size = {}", what, options.pipeline_size), hint);
  };
  if (options.strategy != "auto" && options.strategy != "ddp") {
    refuse("strategy = " + options.strategy, "use strategy = auto or ddp");
  }
  if (Precision{options.precision}.scales_gradients()) {
    refuse("precision = 16-mixed", "gradients pass from stage to stage unscaled: use bf16-mixed");
  }
  if (options.sync_batchnorm) refuse("sync_batchnorm", "ranks of a pipeline have the same rows");
  if (options.gradient_compression.name != "none") {
    refuse("gradient_compression = " + options.gradient_compression.name,
           "the gradients of a pipeline's stages are sent as they are: leave it out");
  }
  if (averages_models(options.model_averaging)) {
    refuse("model_averaging = " + options.model_averaging.name,
           "the ranks of a pipeline have different weights: leave it out");
  }
}

void validate_tensor_size(const TrainerOptions& options) {
  require_at_least("tensor_size", options.tensor_size, 1);
  if (options.tensor_size == 1) return;
  const auto refuse = [&](const std::string& what, std::string_view hint) {
    throw ConfigError::conflict(fmt::format("{} with tensor_size = {}", what, options.tensor_size),
                                hint);
  };
  if (options.strategy != "auto" && options.strategy != "ddp") {
    refuse("strategy = " + options.strategy, "use strategy = auto or ddp");
  }
  if (packs_gradients(options.gradient_compression)) {
    refuse("gradient_compression = " + options.gradient_compression.name,
           "leave it out, or use fp16 or bf16");
  }
  if (averages_models(options.model_averaging)) {
    refuse("model_averaging = " + options.model_averaging.name,
           "ranks that share layers can't take steps by themselves: leave it out");
  }
  if (gradient_deadline(options.gradient_deadline)) {
    refuse("gradient_deadline = " + options.gradient_deadline.name,
           "ranks that share layers wait for each other: leave it out");
  }
}

void validate_deadline(const TrainerOptions& options) {
  if (!gradient_deadline(options.gradient_deadline)) return;
  const auto refuse = [&](const std::string& what, std::string_view hint) {
    throw ConfigError::conflict(
        fmt::format("gradient_deadline = {} with {}", options.gradient_deadline.name, what), hint);
  };
  if (options.strategy != "auto" && options.strategy != "ddp") {
    refuse("strategy = " + options.strategy, "use strategy = auto or ddp");
  }
  if (options.pipeline_size > 1) {
    refuse(fmt::format("pipeline_size = {}", options.pipeline_size),
           "the stages of a pipeline wait for each other: leave it out");
  }
  if (options.gradient_compression.name != "none") {
    refuse("gradient_compression = " + options.gradient_compression.name, "use one of the two");
  }
  if (averages_models(options.model_averaging)) {
    refuse("model_averaging = " + options.model_averaging.name, "use one of the two");
  }
  if (options.sync_batchnorm) {
    refuse("sync_batchnorm, for which ranks wait for each other in each step",
           "leave sync_batchnorm out");
  }
  if (options.find_unused_parameters) {
    refuse("find_unused_parameters = true", "let the loss depend on all parameters");
  }
  if (options.process_group_backend == "nccl") {
    refuse("process_group_backend = nccl", "use auto or gloo");
  }
  if (Precision{options.precision}.scales_gradients()) {
    refuse("precision = 16-mixed, whose gradients change their scale from step to step",
           "use precision = bf16-mixed");
  }
}

void validate_data_parallel(const TrainerOptions& options) {
  require_at_least("num_nodes", options.num_nodes, 1);
  require_at_least("max_restarts", options.max_restarts, 0);
  require_name("strategy", options.strategy,
               {"auto", "single_device", "ddp", "zero_stage_1", "zero_stage_2", "zero_stage_3",
                "parameter_server"});
  validate_compression(options);
  validate_averaging(options);
  validate_deadline(options);
  validate_parameter_server(options);
  require_name("process_group_backend", options.process_group_backend, {"auto", "gloo", "nccl"});
  const std::pair<const char*, double> positive[] = {
      {"bucket_cap_mb", options.bucket_cap_mb},
      {"process_group_timeout", options.process_group_timeout},
      {"heartbeat_timeout", options.heartbeat_timeout}};
  for (const auto& [name, value] : positive) {
    if (std::isfinite(value) && value > 0.0) continue;
    throw ConfigError::invalid_value(name, fmt::format("{}", value), "must be above 0");
  }
}

}  // namespace

Fields describe(TrainerOptions& o) {
  return fields_of<TrainerOptions>(
      {{"accelerator", &o.accelerator, "auto, cpu, gpu or cuda"},
       {"devices", &o.devices, "auto, a number, -1 for all, or a list \"0,1\""},
       {"num_nodes", &o.num_nodes, "the number of hosts"},
       {"strategy", &o.strategy,
        "auto, single_device, ddp, zero_stage_1, 2 or 3, parameter_server"},
       {"precision", &o.precision,
        "32-true, 64-true, bf16-true, 16-true, bf16-mixed, 16-mixed; 64, 32, 16, bf16 for short"},
       {"max_restarts", &o.max_restarts,
        "how many times all ranks are restarted after one has failed"},
       {"max_epochs", &o.max_epochs,
        "epochs to train; null: 1000, or no limit if max_steps or max_time is set; -1: no limit"},
       {"min_epochs", &o.min_epochs, "epochs to train at least"},
       {"max_steps", &o.max_steps, "optimizer steps to train; -1: no limit"},
       {"min_steps", &o.min_steps, "optimizer steps to train at least"},
       {"max_time", &o.max_time, "DD:HH:MM:SS of training; empty: no limit"},
       {"limit_train_batches", &o.limit_train_batches,
        "the most batches of an epoch (int), or that fraction of them (float)"},
       {"limit_val_batches", &o.limit_val_batches, "the same for validation"},
       {"limit_test_batches", &o.limit_test_batches, "the same for test"},
       {"limit_predict_batches", &o.limit_predict_batches, "the same for predict"},
       {"val_check_interval", &o.val_check_interval,
        "validate every n batches (int), fraction of an epoch (float) or DD:HH:MM:SS (str)"},
       {"check_val_every_n_epoch", &o.check_val_every_n_epoch,
        "validate in every n-th epoch; null: count batches or time across epochs"},
       {"num_sanity_val_steps", &o.num_sanity_val_steps,
        "validation batches tried before training; -1: all"},
       {"overfit_batches", &o.overfit_batches, "train on that many batches only, unshuffled"},
       {"reload_dataloaders_every_n_epochs", &o.reload_dataloaders_every_n_epochs,
        "ask for the loaders again before every n-th epoch; 0: never"},
       {"fast_dev_run", &o.fast_dev_run, "run n batches of everything once, saving nothing"},
       {"accumulate_grad_batches", &o.accumulate_grad_batches,
        "the number of batches whose gradients make one optimizer step"},
       {"gradient_clip_val", &o.gradient_clip_val,
        "the largest norm or value of gradients; null or 0: they aren't clipped"},
       {"gradient_clip_algorithm", &o.gradient_clip_algorithm, "norm or value"},
       {"log_every_n_steps", &o.log_every_n_steps, "steps between rows of the loggers; 0: none"},
       {"deterministic", &o.deterministic,
        "only deterministic algorithms; an operation that has none throws or, with warn, warns"},
       {"benchmark", &o.benchmark,
        "GPU: let cuDNN try several algorithms; null: not if deterministic, else as it is set"},
       {"detect_anomaly", &o.detect_anomaly, "find the operation that made a NaN (slow)"},
       {"inference_mode", &o.inference_mode, "evaluate in inference mode outside fit"},
       {"threads", &o.threads,
        "threads that share the work: a number; auto: found by a trial; empty: where the work is "
        "large enough"},
       {"cuda_graph", &o.cuda_graph,
        "GPU: capture training steps in a CUDA graph: auto (where it gives the same), on or off"},
       {"data_on_device", &o.data_on_device,
        "GPU: keep data in its memory: auto (if they fit), on or off"},
       {"profiler", &o.profiler,
        "simple: print where the time went; trace: write a timeline; pytorch: record operations; "
        "nvtx: mark ranges for Nsight; empty: measure nothing"},
       {"default_root_dir", &o.default_root_dir,
        "the folder in which levin_logs is made; empty: the current folder"},
       {"find_unused_parameters", &o.find_unused_parameters,
        "ddp: allow losses that don't depend on all parameters"},
       {"broadcast_buffers", &o.broadcast_buffers, "ddp: all ranks have rank 0's buffers"},
       {"gradient_as_bucket_view", &o.gradient_as_bucket_view,
        "ddp: let gradients be views into the buckets that are sent"},
       {"bucket_cap_mb", &o.bucket_cap_mb, "ddp: MiB of gradients that are sent together"},
       {"gradient_compression", &o.gradient_compression,
        "ddp: none, fp16, bf16, or a name of `list compressions`, also {name: powersgd, rank: 2}"},
       {"process_group_backend", &o.process_group_backend, "ddp: auto, gloo or nccl"},
       {"process_group_timeout", &o.process_group_timeout, "ddp: seconds to wait for others"},
       {"heartbeat_timeout", &o.heartbeat_timeout,
        "ddp: seconds without a sign of life after which a rank counts as failed"},
       {"sync_batchnorm", &o.sync_batchnorm,
        "ddp: LibTorch's batch norms normalise by the rows of all ranks"},
       {"prepare_data_per_node", &o.prepare_data_per_node,
        "ddp: data are prepared once on each host; false: once by rank 0"},
       {"model_averaging", &o.model_averaging,
        "ddp: none, or a name of `list averagings`, also {name: local_sgd, period: 8}"},
       {"pipeline_size", &o.pipeline_size,
        "the number of ranks over which the layers of a PipelineModule are spread"},
       {"pipeline_schedule", &o.pipeline_schedule, "pipeline: gpipe, 1f1b or interleaved1f1b"},
       {"pipeline_chunks", &o.pipeline_chunks,
        "pipeline: the stages of each rank; 0: one, or two with interleaved1f1b"},
       {"micro_batches", &o.micro_batches,
        "pipeline: how many parts a batch is cut into; 0: four for each rank"},
       {"gradient_deadline", &o.gradient_deadline,
        "ddp: late gradients: none (wait for them), drop, fold, also {name: drop, seconds: 0.5}"},
       {"tensor_size", &o.tensor_size,
        "ddp: the number of ranks that share each layer that can be divided"},
       {"parameter_server", &o.parameter_server,
        "parameter_server: bsp, ssp or asp, also {name: ssp, servers: 2, staleness: 3}"}});
}

void validate(const TrainerOptions& options) {
  validate_data_parallel(options);
  validate_pipeline(options);
  validate_tensor_size(options);
  Precision{options.precision};  // throws if there is none of that name
  require_at_least("max_epochs", options.max_epochs, -1);
  require_at_least("min_epochs", options.min_epochs, 0);
  require_at_least("max_steps", options.max_steps, -1);
  require_at_least("min_steps", options.min_steps, 0);
  require_at_least("num_sanity_val_steps", options.num_sanity_val_steps, -1);
  require_at_least("check_val_every_n_epoch", options.check_val_every_n_epoch, 1);
  require_at_least("accumulate_grad_batches", options.accumulate_grad_batches, 1);
  require_at_least("log_every_n_steps", options.log_every_n_steps, 0);
  require_at_least("reload_dataloaders_every_n_epochs", options.reload_dataloaders_every_n_epochs,
                   0);
  require_at_least("fast_dev_run", options.fast_dev_run.count, 0);
  require_limit("limit_train_batches", options.limit_train_batches);
  require_limit("limit_val_batches", options.limit_val_batches);
  require_limit("limit_test_batches", options.limit_test_batches);
  require_limit("limit_predict_batches", options.limit_predict_batches);
  require_limit("overfit_batches", options.overfit_batches);
  validate_intervals(options);
  validate_clipping(options);
  validate_threads(options.threads);
  validate_deterministic(options.deterministic);
  require_name("cuda_graph", options.cuda_graph, {"auto", "on", "off"});
  require_name("data_on_device", options.data_on_device, {"auto", "on", "off"});
  const auto profilers = profiler_names();
  if (!options.profiler.empty() &&
      std::find(profilers.begin(), profilers.end(), options.profiler) == profilers.end()) {
    throw ConfigError::unknown_name("profiler", options.profiler, profilers);
  }
  if (!options.max_time.empty()) parse_duration("max_time", options.max_time);
}

double parse_duration(std::string_view option, std::string_view text) {
  constexpr double kUnits[] = {1.0, 60.0, 3600.0, 86400.0};
  std::vector<double> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(':', begin), text.size());
    const auto number = number_in<int64_t>(text.substr(begin, end - begin));
    if (!number || *number < 0 || parts.size() == 4) {
      throw ConfigError::invalid_value(option, text, "expected DD:HH:MM:SS, say 00:01:30:00");
    }
    parts.push_back(static_cast<double>(*number));
    begin = end + 1;
  }
  double seconds = 0.0;
  for (size_t i = 0; i < parts.size(); ++i) seconds += parts[parts.size() - 1 - i] * kUnits[i];
  return seconds;
}

}  // namespace levin
