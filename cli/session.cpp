#include <levin/cli/session.h>

#include <algorithm>
#include <utility>

#include <levin/cli/config_saver.h>
#include <levin/cli/find_checkpoint.h>
#include <levin/cli/job_settings.h>
#include <levin/cli/run_recorder.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/load_module.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

/// The seed that a fit uses: that of the checkpoint from which it resumes, if there is one, or else
/// `configured`.
std::optional<int64_t> seed_of_fit(const std::string& ckpt_path,
                                   std::optional<int64_t> configured) {
  if (ckpt_path.empty()) return configured;
  return naming_checkpoint(ckpt_path, [&] {
    const Value random = load_checkpoint_outline(ckpt_path).child("random").values;
    return random.contains("seed") ? std::optional(random.at("seed").as_int()) : configured;
  });
}

void require_session_parts(const Job& job) {
  if (!job.model && job.ckpt_path.empty()) {
    throw ConfigError::conflict("no model is named",
                                "give --ckpt-path FILE, a checkpoint that says which model it is "
                                "of; or `model:` in a --config file, or --model CLASS");
  }
  if (!job.data) {
    throw ConfigError::conflict("no data is named",
                                "give `data:` in a --config file, or --data CLASS");
  }
}

/// Passes the job on if it names what a session needs.
Job with_session_parts(Job job) {
  require_session_parts(job);
  return job;
}

}  // namespace

Session::Session(Job job, const Registry& registry)
    : job_(with_session_parts(std::move(job))),
      ckpt_path_(find_checkpoint(job_.ckpt_path, job_.trainer->default_root_dir)),
      trainer_(*job_.trainer) {
  if (job_.seed) seed_everything(static_cast<uint64_t>(*job_.seed));
  data_ = job_.data->make();
  if (job_.model) {
    model_ = job_.model->make();
  } else {  // the Trainer loads the weights
    model_ = make_module(registry, load_checkpoint_outline(ckpt_path_), ckpt_path_);
  }
  for (const auto* list : {&job_.callbacks, &job_.default_callbacks}) {
    for (const auto& each : *list) add_callback(each.make(), each.hooks);
  }
  for (const auto& each : job_.loggers) trainer_.add_logger(each.make());
  makes_run_folder_ = makes_run_folder_ || !job_.loggers.empty();
  if (job_.optimizer) {
    trainer_.set_optimizers([made = job_](Module& module) {
      return made.make_optimizers(to_named_tensors(module.named_parameters()));
    });
  }
}

Session::~Session() = default;

void Session::add_callback(std::unique_ptr<Callback> callback, HookSet hooks) {
  const bool saves = callback->order() == Callback::Order::checkpoint;
  if (saves && trainer_.options().fast_dev_run.count > 0) return;
  makes_run_folder_ = makes_run_folder_ || saves;
  trainer_.add(std::move(callback), hooks);
}

void Session::record_config(const Registry& registry) {
  Job recorded = job_;
  recorded.seed = seed_of_fit(ckpt_path_, job_.seed);
  if (recorded.seed != job_.seed) detach_links(recorded.links, "seed_everything");
  if (!makes_run_folder_) return;
  auto saver = std::make_unique<ConfigSaver>(to_yaml(recorded, registry, /*comments=*/false));
  config_saver_ = saver.get();
  trainer_.add_logger(std::move(saver));
}

void Session::record_run(const Registry& registry) {
  if (!makes_run_folder_) return;
  auto recorder = std::make_unique<RunRecorder>(job_settings(job_, registry));
  run_recorder_ = recorder.get();
  trainer_.add_logger(std::move(recorder));
}

bool Session::wants_report() const {
  return std::any_of(job_.switches.begin(), job_.switches.end(), [](const auto& each) {
    return each.first.option == kReportSwitch && *each.second;
  });
}

std::filesystem::path Session::config_folder() const {
  return config_saver_ == nullptr ? std::filesystem::path() : config_saver_->folder();
}

}  // namespace levin
