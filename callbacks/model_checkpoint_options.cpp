#include <levin/callbacks/model_checkpoint_options.h>

#include <fmt/format.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>

#include <utility>

namespace levin {
namespace {

void check_at_least(std::string_view option, std::optional<int64_t> value, int64_t least) {
  if (!value || *value >= least) return;
  throw ConfigError::invalid_value(fmt::format("ModelCheckpoint.{}", option),
                                   fmt::to_string(*value),
                                   fmt::format("must be at least {}", least));
}

}  // namespace

ModelCheckpointOptions with_home_expanded(ModelCheckpointOptions options) {
  options.dirpath = expand_home(std::move(options.dirpath), "ModelCheckpoint.dirpath");
  return options;
}

std::string state_key_of(const ModelCheckpointOptions& options) {
  const auto number = [](const auto& value) { return value ? fmt::to_string(*value) : "-"; };
  return fmt::format("ModelCheckpoint:{}:{}:{}:{}:{}:{}", options.monitor, options.mode,
                     options.filename, number(options.every_n_train_steps),
                     number(options.train_time_interval), number(options.every_n_epochs));
}

void validate(const ModelCheckpointOptions& o) {
  check_at_least("save_top_k", o.save_top_k, -1);
  check_at_least("every_n_train_steps", o.every_n_train_steps, 0);
  check_at_least("every_n_epochs", o.every_n_epochs, 0);
  if (o.train_time_interval && !(*o.train_time_interval > 0.0)) {
    throw ConfigError::invalid_value("ModelCheckpoint.train_time_interval",
                                     fmt::to_string(*o.train_time_interval),
                                     "must be more than 0 minutes");
  }
  const int triggers = (o.every_n_train_steps.value_or(0) > 0) +
                       (o.every_n_epochs.value_or(0) > 0) + o.train_time_interval.has_value();
  if (triggers > 1) {
    throw ConfigError::conflict(
        "ModelCheckpoint: only one of every_n_train_steps, every_n_epochs and train_time_interval "
        "may be set",
        "add one ModelCheckpoint for each of them");
  }
  if (o.monitor.empty() && o.save_top_k > 1) {
    throw ConfigError::conflict(
        fmt::format(
            "ModelCheckpoint: save_top_k = {} needs a monitor by which checkpoints are ranked",
            o.save_top_k),
        "set monitor, or set save_top_k to -1 (all), 1 (the latest) or 0 (none)");
  }
  if (const auto last = o.save_last.name(); !last.empty() && last != "link") {
    throw ConfigError::invalid_value("ModelCheckpoint.save_last", last,
                                     "must be true, false or \"link\"");
  }
  if (o.mode != "min" && o.mode != "max") {
    throw ConfigError::invalid_value("ModelCheckpoint.mode", o.mode, "must be min or max");
  }
}

Fields describe(ModelCheckpointOptions& o) {
  return fields_of<ModelCheckpointOptions>({
      {"dirpath", &o.dirpath, "folder for the files; empty: checkpoints in the run's folder"},
      {"filename", &o.filename,
       "pattern of the file names, with {epoch}, {step}, {val_loss:.2f} and so on"},
      {"monitor", &o.monitor,
       "metric by which checkpoints are ranked; empty: later ones are better"},
      {"verbose", &o.verbose, "print the path of each checkpoint to stderr"},
      {"save_last", &o.save_last, "also keep last.ckpt; \"link\": as a symbolic link"},
      {"save_top_k", &o.save_top_k, "number of checkpoints to keep; 0: none, -1: all"},
      {"save_on_exception", &o.save_on_exception, "also save if an exception ends training"},
      {"save_weights_only", &o.save_weights_only, "leave out the state that only resuming needs"},
      {"mode", &o.mode, "min if a smaller value of the monitor is better, max if a larger one is"},
      {"auto_insert_metric_name", &o.auto_insert_metric_name,
       "write the name of each number in file names"},
      {"enable_version_counter", &o.enable_version_counter,
       "add -v1 and so on to names that are taken; false: replace the file"},
      {"every_n_train_steps", &o.every_n_train_steps, "save every n optimizer steps"},
      {"train_time_interval", &o.train_time_interval,
       "save whenever this many minutes have passed"},
      {"every_n_epochs", &o.every_n_epochs, "save every n epochs; 0: never"},
      {"save_on_train_epoch_end", &o.save_on_train_epoch_end,
       "save at the end of training epochs (true) or validations (false); null: whenever the "
       "monitor has a new value"},
      {"asynchronous", &o.asynchronous, "write the files while training goes on"},
  });
}

}  // namespace levin
