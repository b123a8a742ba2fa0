#include <levin/cli/run_recorder.h>

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/version.h>

#include <levin/callbacks/layer_rows.h>
#include <levin/callbacks/parameter_counts.h>
#include <levin/cli/data_record.h>
#include <levin/cli/job_settings.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/files.h>
#include <levin/framework/launch/child_process.h>
#include <levin/framework/provenance/build_info.h>
#include <levin/framework/provenance/git_state.h>
#include <levin/framework/provenance/host_info.h>
#include <levin/framework/run/module.h>
#include <levin/framework/tensor/torch_error.h>
#include <levin/framework/trainer/trainer.h>

namespace levin {
namespace {

constexpr size_t kMostLayers = 300;

Value::Array text_list(const std::vector<std::string>& list) { return {list.begin(), list.end()}; }

Value record_of_module(const Module& module) {
  const ParameterCounts counts = count_parameters(module);
  auto rows = layer_rows(module, /*max_depth=*/-1);
  const size_t all = rows.size();
  if (all > kMostLayers) rows = layer_rows(module, /*max_depth=*/1);
  if (rows.size() > kMostLayers) rows.resize(kMostLayers);
  Value::Array layers;
  for (const auto& row : rows) {
    layers.push_back(Value::Object{{"name", row.name},
                                   {"type", row.type},
                                   {"parameters", row.parameters},
                                   {"trainable", row.trainable},
                                   {"in", row.in},
                                   {"out", row.out}});
  }
  return Value::Object{{"class", module.class_name()},  {"parameters", counts.elements},
                       {"trainable", counts.trainable}, {"bytes", counts.bytes},
                       {"layers", std::move(layers)},   {"num_layers", static_cast<int64_t>(all)}};
}

Value record_of_profile(const Profile& profile) {
  Value::Array parts;
  for (size_t i = 0; i < profile.rows.size(); ++i) {
    const auto& row = profile.rows[i];
    if (row.seconds <= 0.0) continue;
    parts.push_back(Value::Object{
        {"name", part_name(static_cast<Part>(i))}, {"calls", row.calls}, {"seconds", row.seconds}});
  }
  return Value::Object{{"seconds", profile.seconds}, {"parts", std::move(parts)}};
}

/// The settings that loggers get, as groups in the form of job_settings, without defaults.
Value settings_groups(const Value& settings) {
  Value::Array groups;
  for (const char* part : {"trainer", "model", "data", "tuned"}) {
    if (!settings.contains(part) || !settings.at(part).is_object()) continue;
    Value::Array list;
    for (const auto& [name, value] : settings.at(part).as_object()) {
      list.push_back(Value::Object{{"name", name}, {"value", value}});
    }
    groups.push_back(Value::Object{{"name", part}, {"settings", std::move(list)}});
  }
  return groups;
}

/// The fits of the record that the folder has; none if there is no record or it can't be read.
Value::Array earlier_fits(const std::filesystem::path& file) {
  if (!files::exists(file)) return {};
  Value record = Value::from_json(files::read_text(file, uint64_t{64} << 20));
  Value::Array fits = record.at("fits").as_array();
  for (auto& fit : fits) {
    for (const char* large : {"settings", "model", "profile"}) fit.as_object().erase(large);
    if (!fit.contains("data") || !fit.at("data").contains("sources")) continue;
    for (auto& source : fit["data"]["sources"].as_array()) source.as_object().erase("parts");
  }
  return fits;
}

/// Does what `work` does. Whatever is wrong with it is only a warning, because the record isn't
/// worth the end of a run.
template <class Work>
void try_to_record(const Work& work) {
  try {
    work();
  } catch (const std::exception& error) {
    diagnostics::print(fmt::format("warning: run.json isn't complete: {}\n", plain_message(error)));
  }
}

/// The message of the exception that is being handled; empty if there is none.
std::string message_in_flight() {
  const auto error = std::current_exception();
  if (!error) return {};
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return plain_message(known);
  } catch (...) {
    return "an exception of an unknown class";
  }
}

}  // namespace

void RunRecorder::start(Run& run) {
  run_ = run.stage() == Stage::fit ? &run : nullptr;
  if (run_ == nullptr) return;
  folder_ = run.log_dir();
  earlier_.clear();
  try_to_record([&] { earlier_ = earlier_fits(folder_ / "run.json"); });
}

void RunRecorder::log_hyper_parameters(const Value& settings) {
  if (run_ == nullptr) return;
  record_ = Value::Object{{"started", files::wall_seconds()}, {"status", "running"}};
  const Place& place = run_->place();
  record_["levin"] = to_value(build_info());
  record_["libtorch"] = TORCH_VERSION;
  record_["ranks"] = run_->ranks().size();
  record_["nodes"] = place.num_nodes;
  record_["device"] = place.device.str();
  record_["threads"] = at::get_num_threads();
  record_["first_epoch"] = run_->epoch();
  record_["first_step"] = run_->global_step();
  record_["seed"] = settings.contains("seed") ? settings.at("seed") : Value();
  record_["settings"] = settings_.is_array() ? settings_ : settings_groups(settings);
  try_to_record([&] { record_["host"] = to_value(host_info()); });
  try_to_record([&] { record_["git"] = to_value(git_state(std::filesystem::current_path())); });
  try_to_record([&] { record_["command"] = text_list(own_command().arguments); });
  try_to_record([&] { record_["model"] = record_of_module(run_->module()); });
  try_to_record([&] {
    record_["data"] = data_record(
        {{"train", &run_->train_dataloader()}, {"validation", &run_->val_dataloaders()}});
  });
  write();
}

void RunRecorder::finish(bool failed) {
  if (run_ == nullptr || record_.is_null()) return;
  const Run& run = *std::exchange(run_, nullptr);
  record_["ended"] = files::wall_seconds();
  const History& history = run.history();
  record_["status"] = failed ? "failed" : history.interrupted ? "interrupted" : "done";
  if (failed) {
    record_["error"] = message_in_flight();
  } else {
    record_["stop_reason"] = history.stop_reason;
  }
  record_["epochs"] = static_cast<int64_t>(history.epochs.size());
  record_["global_step"] = run.global_step();
  write();
}

void RunRecorder::complete(const Trainer& trainer) {
  if (record_.is_null()) return;
  record_["best_checkpoint"] = trainer.best_checkpoint().string();
  record_["last_checkpoint"] = trainer.last_checkpoint().string();
  const Profile profile = trainer.profile();
  if (profile.seconds > 0.0) record_["profile"] = record_of_profile(profile);
  write();
}

void RunRecorder::write() {
  Value::Array fits = earlier_;
  fits.push_back(record_);
  const Value file = Value::Object{{"format", 1}, {"fits", std::move(fits)}};
  file_ = KeptFile(folder_ / "run.json", file.to_json(/*indent=*/1) + "\n");
  file_.keep();
}

}  // namespace levin
