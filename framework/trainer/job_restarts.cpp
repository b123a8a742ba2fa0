#include <levin/framework/trainer/job_restarts.h>

#include <atomic>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/tensor/random.h>

namespace levin {

std::string JobRestarts::begin_fit(Strategy& strategy, const std::string& ckpt_path,
                                   const std::vector<std::filesystem::path>& folders) {
  static std::atomic<int64_t> fits{0};
  fit_ = fits++;
  restarts_.reset();
  has_warned_ = false;
  run_.set_on_saved({});
  const Cluster* cluster = strategy.cluster();
  if (cluster == nullptr || !cluster->may_restart || cluster->run_id.empty()) return ckpt_path;
  const auto last = strategy.ranks().from_rank_zero("JobRestarts/last checkpoint", [&] {
    restarts_.emplace(run_.runs_folder(), cluster->run_id, fit_ > 0 || cluster->restart_count > 0,
                      cluster->has_own_run_id(), folders);
    return restarts_->checkpoint(fit_).string();
  });
  if (restarts_) {
    run_.set_on_saved([this](const auto& path) { note_saved(path); });
    if (!last.empty()) {
      diagnostics::print(
          fmt::format("the ranks of this job were restarted; training goes on from {} (according "
                      "to {})\n",
                      last, restarts_->path().string()));
    }
  }
  return last.empty() ? ckpt_path : last;
}

void JobRestarts::end_fit(bool interrupted) {
  if (!restarts_ || interrupted) return;
  note("a later start of this job would go on from this fit's last checkpoint",
       [this] { restarts_->ended(fit_); });
}

void JobRestarts::note_saved(const std::filesystem::path& path) {
  note("a restart would go on from an earlier checkpoint", [&] {
    if (restarts_->saved(fit_, path)) return;
    throw CheckpointError::io("note for restarts", path.string(),
                              "it is neither in the folder of the runs nor in that of a "
                              "ModelCheckpoint; save it in one of them");
  });
}

void JobRestarts::note(std::string_view consequence, const std::function<void()>& write) {
  try {
    write();
  } catch (const CheckpointError& error) {
    if (!std::exchange(has_warned_, true)) {
      diagnostics::print(fmt::format("warning: {}; {}\n", error.what(), consequence));
    }
  }
}

std::vector<std::filesystem::path> checkpoint_folders(const std::vector<Callback*>& callbacks) {
  std::vector<std::filesystem::path> folders;
  for (const Callback* callback : callbacks) {
    if (auto folder = callback->checkpoint_folder(); !folder.empty()) folders.push_back(folder);
  }
  return folders;
}

void draw_as_rank_zero(Ranks& ranks) {
  if (ranks.size() == 1) return;
  const auto state =
      ranks.from_rank_zero("Trainer/random state", [] { return checkpoint_bytes(random_state()); });
  if (!ranks.is_zero()) load_random_state(checkpoint_from_bytes(state));
}

}  // namespace levin
