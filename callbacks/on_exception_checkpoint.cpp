#include <levin/callbacks/on_exception_checkpoint.h>

#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>
#include <levin/framework/run/run.h>

namespace levin {

Fields describe(OnExceptionCheckpointOptions& o) {
  return fields_of<OnExceptionCheckpointOptions>({
      {"dirpath", &o.dirpath, "the folder to save to; empty: checkpoints in the run's folder"},
      {"filename", &o.filename, "the file's name, to which .ckpt is added"},
  });
}

OnExceptionCheckpoint::OnExceptionCheckpoint(OnExceptionCheckpointOptions options)
    : options_(std::move(options)) {
  if (options_.filename.empty() || options_.filename.find('/') != std::string::npos) {
    throw ConfigError::invalid_value("OnExceptionCheckpoint.filename", options_.filename,
                                     "must be the name of a file; set dirpath for its folder");
  }
  options_.dirpath = expand_home(std::move(options_.dirpath), "OnExceptionCheckpoint.dirpath");
}

void OnExceptionCheckpoint::on_fit_start(Run& run) {
  // All ranks learn the run's folder now; after an exception rank 0 may be gone.
  if (options_.dirpath.empty()) run.log_dir();
  fitting_ = true;
}

void OnExceptionCheckpoint::on_train_end(Run&) { fitting_ = false; }

void OnExceptionCheckpoint::on_exception(const std::exception&, Run& run) {
  if (!std::exchange(fitting_, false)) return;
  const std::filesystem::path folder = options_.dirpath.empty()
                                           ? run.log_dir() / "checkpoints"
                                           : std::filesystem::absolute(options_.dirpath);
  run.save(folder / fmt::format("{}.ckpt", options_.filename));
}

}  // namespace levin
