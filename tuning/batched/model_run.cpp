#include <levin/tuning/batched/model_run.h>

#include <algorithm>
#include <utility>

#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/own_checkpoint.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

/// Checkpoints that wait in memory. More are written at once.
constexpr size_t kMostPending = 16;

bool is_replaced_by(const std::filesystem::path& path, const Requests::Save& request) {
  const auto& replaced = request.options.replaces;
  return path == request.path ||
         std::find(replaced.begin(), replaced.end(), path) != replaced.end();
}

}  // namespace

ModelRun::ModelRun(StackedModels& models, size_t number, const std::filesystem::path& runs_folder,
                   MakeCheckpoint make_checkpoint)
    : models_(models), number_(number), make_checkpoint_(std::move(make_checkpoint)) {
  run_.set_runs_folder(runs_folder);
  run_.set_module(&models.model(number));
  run_.set_optimizers(&no_optimizers_);
}

void ModelRun::add(std::unique_ptr<Callback> callback) {
  const auto later = std::find_if(callbacks_.begin(), callbacks_.end(), [&](const auto& other) {
    return other->order() > callback->order();
  });
  callbacks_.insert(later, std::move(callback));
}

void ModelRun::follow(const Run& whole) {
  run_.progress() = whole.progress();
  run_.history().interrupted = whole.history().interrupted;
  if (!is_past_epoch_) return;
  ++run_.progress().epoch;
  run_.progress().batch = 0;
}

void ModelRun::begin(Run& whole, const Value& settings) {
  call(&Hooks::on_fit_start, whole);
  for_each_logger([&](Logger& logger) {
    logger.start(run_);
    logger.log_hyper_parameters(settings);
  });
}

void ModelRun::call(void (Hooks::*hook)(Run&), Run& whole) {
  if (has_ended_) return;
  follow(whole);
  for (const auto& callback : callbacks_) ((*callback).*hook)(run_);
}

void ModelRun::take_metrics(const MetricMap& fresh) {
  if (!has_ended_) run_.take_metrics(fresh);
}

void ModelRun::forget_metrics() {
  run_.forget_metrics();
  run_.requests() = {};
}

void ModelRun::for_each_logger(const std::function<void(Logger&)>& use) {
  for (const auto& logger : loggers_) use(*logger);
}

void ModelRun::log_step(const MetricMap& values, const Run& whole) {
  if (has_ended_ || values.empty()) return;
  for_each_logger(
      [&](Logger& logger) { logger.log_metrics(values, whole.epoch(), whole.global_step() - 1); });
}

void ModelRun::log_validation(const MetricMap& values, const Run& whole) {
  if (has_ended_ || values.empty()) return;
  for_each_logger([&](Logger& logger) {
    logger.log_epoch_metrics(values, whole.epoch(), whole.global_step() - 1);
  });
}

bool ModelRun::wants_to_stop(const Progress& progress) {
  std::erase_if(stops_, [](const Requests::Stop& stop) { return stop.reason().empty(); });
  const bool may_stop =
      progress.epoch + 1 >= progress.min_epochs && progress.global_step >= progress.min_steps;
  return !stops_.empty() && may_stop;
}

void ModelRun::act(Run& whole, bool ends_epoch) {
  if (has_ended_) return;
  Requests requests = std::exchange(run_.requests(), {});
  for (auto& stop : requests.stops) stops_.push_back(std::move(stop));
  for (const auto& request : requests.saves) save(request);
  if (requests.weights) models_.model(number_).load_state_dict(*requests.weights);
  if (!ends_epoch || !wants_to_stop(whole.progress())) return;
  run_.history().stop_reason = stops_.front().reason();
  is_past_epoch_ = true;
  end(whole);
}

void ModelRun::save(const Requests::Save& request) {
  std::erase_if(pending_, [&](const Pending& earlier) {
    return is_replaced_by(earlier.request.path, request);
  });
  pending_.push_back({request,
                      {.epoch = run_.epoch(),
                       .global_step = run_.global_step(),
                       .model = models_.model(number_).state_dict().clone()}});
  std::erase_if(pending_, [this](const Pending& one) { return is_dropped(one.request.path); });
  if (pending_.size() > kMostPending) write_pending();
}

/// Whether a ModelCheckpoint no longer keeps this checkpoint of its folder. It doesn't say so of
/// files that aren't there yet.
bool ModelRun::is_dropped(const std::filesystem::path& path) const {
  for (const auto& callback : callbacks_) {
    const auto* const checkpoints = dynamic_cast<const ModelCheckpoint*>(callback.get());
    if (checkpoints == nullptr || path.parent_path() != checkpoints->folder()) continue;
    const auto& kept = checkpoints->best_k_models();
    const bool is_kept = path == checkpoints->last_model_path() ||
                         std::any_of(kept.begin(), kept.end(), [&](const SavedCheckpoint& saved) {
                           return saved.path == path;
                         });
    if (is_kept) return false;
  }
  return std::any_of(callbacks_.begin(), callbacks_.end(), [&](const auto& callback) {
    const auto* const checkpoints = dynamic_cast<const ModelCheckpoint*>(callback.get());
    return checkpoints != nullptr && path.parent_path() == checkpoints->folder();
  });
}

void ModelRun::write_pending() {
  for_each_logger([](Logger& logger) { logger.flush(); });
  for (const auto& [request, snapshot] : pending_) {
    save_checkpoint(request.path, make_checkpoint_(snapshot));
    const auto& options = request.options;
    if (!options.link.empty()) files::make_link(request.path, options.link);
    const auto folder = options.folder.empty() ? request.path.parent_path() : options.folder;
    for (const auto& old : options.replaces) remove_checkpoint_in(folder, old);
  }
  pending_.clear();
}

void ModelRun::end(Run& whole) {
  if (has_ended_) return;
  models_.stop(number_);
  call(&Hooks::on_train_end, whole);
  act(whole, /*ends_epoch=*/false);
  if (run_.history().interrupted) {
    pending_.clear();
  } else {
    write_pending();
  }
  call(&Hooks::on_fit_end, whole);
  for_each_logger([](Logger& logger) { logger.finish(/*failed=*/false); });
  has_ended_ = true;
}

void ModelRun::fail(const std::exception& error, Run& whole) {
  if (has_ended_) return;
  follow(whole);
  for (const auto& callback : callbacks_) callback->on_exception(error, run_);
  for_each_logger([](Logger& logger) { logger.finish(/*failed=*/true); });
  has_ended_ = true;
}

}  // namespace levin
