#include <levin/framework/loops/checkpointer.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/checkpoint_writer.h>
#include <levin/framework/checkpoint/own_checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

void remove_link(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_symlink(path, error)) files::remove_file(path);
}

}  // namespace

Checkpointer::Checkpointer(LoopParts parts, FitState& state) : parts_(parts), state_(state) {
  parts_.run.set_wait_for_saves([this] { wait(); });
}

Checkpointer::~Checkpointer() { parts_.run.set_wait_for_saves({}); }

void Checkpointer::wait() {
  if (!writer_) return;
  const ProfilePart profiled(parts_.profiler, Part::files);
  writer_->wait();
}

void Checkpointer::save_all(const std::vector<Requests::Save>& requests) {
  if (requests.empty()) return writer_->settle();
  wait();
  for (const auto& request : requests) save_one(request);
}

void Checkpointer::save_one(const Requests::Save& request) {
  if (saves_nothing()) return;
  const ProfilePart profiled(parts_.profiler, Part::files);
  for (Logger* logger : parts_.loggers) logger->flush();
  write(request, state_.checkpoint(request.options.weights_only));
}

void Checkpointer::write(const Requests::Save& request, const StateDict& state) {
  Strategy& strategy = parts_.strategy;
  const bool weights_only = request.options.weights_only;
  if (strategy.is_sharded() && (!weights_only || strategy.divides_module())) {
    if (strategy.ranks().is_zero()) remove_link(request.path);  // or parts would go to its target
    strategy.ranks().barrier();
    save_sharded_checkpoint(request.path, state, strategy.ranks());
  } else if (strategy.ranks().is_zero() && request.options.asynchronous) {
    if (!writer_) writer_ = std::make_unique<CheckpointWriter>();
    writer_->write(request.path, state, [this, request] { written(request); });
    return;
  } else if (strategy.ranks().is_zero()) {
    save_checkpoint(request.path, state);
  }
  if (strategy.ranks().is_zero()) written(request);
}

void Checkpointer::written(const Requests::Save& request) {
  if (!request.options.weights_only) parts_.run.saved(request.path);
  link(request);
  remove_replaced(request);
}

void Checkpointer::link(const Requests::Save& request) {
  const auto& link = request.options.link;
  if (link.empty()) return;
  if (files::is_folder(link) && !std::filesystem::is_symlink(link)) {
    remove_checkpoint_in(request.options.folder, link);
  }
  files::make_link(request.path, link);
}

void Checkpointer::remove_replaced(const Requests::Save& request) {
  const auto& options = request.options;
  for (const auto& old : options.replaces) {
    if (!options.folder.empty()) {
      remove_checkpoint_in(options.folder, old);
    } else if (!remove_checkpoint_in(request.path.parent_path(), old)) {
      remove_checkpoint_in(parts_.run.log_dir(), old);
    }
  }
}

void Checkpointer::save_now(const std::filesystem::path& path) {
  wait();
  write({.path = path, .options = {}}, state_.checkpoint(/*weights_only=*/false));
  parts_.strategy.ranks().barrier();
}

std::filesystem::path Checkpointer::save_as(std::string_view name) {
  auto path = parts_.run.log_dir() / "checkpoints" / fmt::format("{}.ckpt", name);
  save({{.path = path, .options = {}}});
  parts_.run.set_last_checkpoint(path);
  return path;
}

void Checkpointer::save_interrupted() {
  if (!saves_nothing()) save_as("interrupted");
}

void Checkpointer::save_after_exception(const std::exception& error, bool at_boundary) {
  try {
    wait();
  } catch (const std::exception& another) {
    diagnostics::print(fmt::format("a checkpoint couldn't be saved: {}\n", another.what()));
  }
  state_.leave_out_other_ranks();
  if (state_.is_divided()) return;
  Requests requests = std::exchange(parts_.run.requests(), {});
  for (auto& request : requests.saves) request.options.asynchronous = false;
  save(requests.saves);
  if (at_boundary && dynamic_cast<const ModuleError*>(&error) != nullptr) save_failed();
}

void Checkpointer::save_failed() {
  RunControl& run = parts_.run;
  if (saves_nothing() || !run.is_global_zero()) return;
  auto& epochs = run.history().epochs;  // a resumed run ends this epoch again
  if (!epochs.empty() && epochs.back().epoch == run.epoch()) epochs.pop_back();
  diagnostics::print(
      fmt::format("the state before the error was saved: {}\n", save_as("failed").string()));
}

}  // namespace levin
